import { Option, type Argument } from "commander";
import { usage } from "./failure.ts";

interface ChoiceForm {
  /** Several of them, comma-separated or given one by one. */
  readonly many?: boolean;
  /** Others are left to the server, which alone knows all. */
  readonly open?: boolean;
  readonly fallback?: string;
  /** What help says in place of all the values. */
  readonly brief?: string;
}

/** An option that takes one of a few words: help names them, completion offers them, and others are wrong usage. */
export class ChoiceOption extends Option {
  readonly many: boolean;
  readonly brief: string | undefined;

  constructor(flags: string, description: string, values: readonly string[], form: ChoiceForm = {}) {
    super(flags, description);
    this.many = form.many === true;
    this.brief = form.brief;
    this.argChoices = [...values];
    if (form.fallback !== undefined) this.default(form.fallback);
    const check = (word: string): string => {
      if (form.open === true || values.includes(word)) return word;
      throw usage(`--${this.name()} does not take ${word}`, `It takes: ${values.join(", ")}.`);
    };
    this.argParser<string | string[]>((text, before) =>
      this.many
        ? [
            ...(Array.isArray(before) ? before : []),
            ...text
              .split(",")
              .filter((word) => word !== "")
              .map(check),
          ]
        : check(text),
    );
  }
}

/** As text for people: no quotation marks around words, and what may be given before what is taken otherwise. */
export function describe(item: Option | Argument): string {
  const { description, argChoices, defaultValue, defaultValueDescription } = item;
  const values = item instanceof ChoiceOption && item.brief !== undefined ? item.brief : argChoices?.join(", ");
  const fallback = defaultValueDescription ?? (typeof defaultValue === "boolean" ? undefined : defaultValue);
  const remarks = [values, fallback === undefined ? undefined : `default: ${String(fallback)}`];
  const said = remarks.filter((remark) => remark !== undefined && remark !== "");
  return said.length === 0 ? description : `${description} (${said.join("; ")})`;
}
