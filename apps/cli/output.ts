import { styleText } from "node:util";
import type { CasemateError } from "@casemate/foundation/errors";
import { toJson } from "./json.ts";
import { printable, printableLines } from "./printable.ts";

type Style = Parameters<typeof styleText>[0];

/** Text in a style: kept apart from it, so that only the program's own styles reach the terminal. */
export interface Styled {
  readonly style: Style;
  readonly text: string;
}

type Text = string | Styled | readonly (string | Styled)[];

export interface Streams {
  readonly stdout: NodeJS.WritableStream & { readonly isTTY?: boolean };
  readonly stderr: NodeJS.WritableStream & { readonly isTTY?: boolean };
}

/** One column of a table: its title and how a row fills it. */
export interface Column<T> {
  readonly title: string;
  readonly cell: (row: T) => string;
}

/** Where a verb's answer goes: JSON for programs, sentences and tables for people. */
export class Output {
  readonly json: boolean;
  readonly #streams: Streams;
  /** What goes with the JSON answer, or with the failure in its place. */
  readonly #notes: string[] = [];

  constructor(json: boolean, streams: Streams = process) {
    this.json = json;
    this.#streams = streams;
  }

  /** Prints `value` as JSON with the notes so far, or what `human` prints. A list has no place for notes: no verb has both. */
  answer(value: object, human: () => void): void {
    if (!this.json) human();
    else this.line(toJson(Array.isArray(value) ? value : { ...value, ...this.#noted() }, 2));
  }

  /** Control characters are escaped, but for line feeds and tabs. */
  line(text: Text = ""): void {
    const parts = [text].flat() as readonly (string | Styled)[];
    const painted = parts.map((part) =>
      typeof part === "string" ? printableLines(part) : this.#paint(part.style, printableLines(part.text)),
    );
    this.#streams.stdout.write(`${painted.join("")}\n`);
  }

  /** Bytes as they are: for redirection into files. */
  bytes(bytes: Uint8Array): void {
    this.#streams.stdout.write(bytes);
  }

  table<T>(rows: readonly T[], columns: readonly Column<T>[], none: string): void {
    if (rows.length === 0) {
      this.line(none);
      return;
    }
    const cells = rows.map((row) => columns.map((column) => printable(column.cell(row))));
    const widths = columns.map((column, i) =>
      Math.max(column.title.length, ...cells.map((row) => row[i]?.length ?? 0)),
    );
    const format = (row: readonly string[]): string =>
      row
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join("  ")
        .trimEnd();
    this.line({ style: "bold", text: format(columns.map((column) => column.title)) });
    for (const row of cells) this.line(format(row));
  }

  /** Name and value per line, aligned. */
  facts(facts: readonly (readonly [name: string, value: string | Styled | undefined])[]): void {
    const present = facts.flatMap(([name, value]) => {
      const shown = typeof value === "object" ? { ...value, text: printable(value.text) } : printable(value ?? "");
      return shown === "" ? [] : [{ name: printable(name), value: shown }];
    });
    const width = Math.max(0, ...present.map(({ name }) => name.length));
    for (const { name, value } of present) this.line([`${name.padEnd(width)}  `, value]);
  }

  #paint(style: Style, text: string): string {
    return styleText(style, text, { stream: this.#streams.stdout as NodeJS.WriteStream });
  }

  #noted(): { readonly notes?: readonly string[] } {
    return this.#notes.length === 0 ? {} : { notes: this.#notes };
  }

  /** What is not the answer and should be known with it: programs find it as `notes` in their answer. */
  note(text: string): void {
    if (this.json) this.#notes.push(text);
    else this.remark(`Note: ${text}`);
  }

  /** For people only: programs have them as `warnings` in their answer. */
  warnings(warnings: readonly string[]): void {
    if (!this.json) for (const warning of warnings) this.note(warning);
  }

  /** For people only. */
  remark(text: string): void {
    this.progress("");
    this.#streams.stderr.write(`${printable(text)}\n`);
  }

  /** Overwrites one line on a terminal; silent elsewhere. An empty text clears it. */
  progress(text: string): void {
    if (this.#streams.stderr.isTTY === true && !this.json) this.#streams.stderr.write(`\r\x1b[2K${text}`);
  }

  failure(error: CasemateError): void {
    this.progress("");
    if (this.json) {
      const { code, message, hint, retryable, details } = error;
      this.#streams.stderr.write(
        `${toJson({ error: { code, message, hint, retryable, details }, ...this.#noted() }, 2)}\n`,
      );
      return;
    }
    const title = styleText("red", "casemate:", { stream: this.#streams.stderr as NodeJS.WriteStream });
    this.#streams.stderr.write(`${title} ${printableLines(error.message)} (${error.code})\n`);
    if (error.hint !== undefined) this.#streams.stderr.write(`Hint: ${printableLines(error.hint)}\n`);
  }
}
