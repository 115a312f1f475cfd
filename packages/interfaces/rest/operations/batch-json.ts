/** RFC 8259: the answer to a batch as JSON text. Base64 needs no escapes (RFC 4648 §4), so nobody has to look for them in every letter. */

/** An answer to a batch; each result has one member: base64 text, a truth value, or an error. */
export interface BatchAnswer {
  readonly version: number;
  readonly scheme: string;
  readonly results: readonly Readonly<Record<string, unknown>>[];
  readonly warnings: readonly string[];
}

/** As JSON.stringify; `output` is the member of a result that is base64 where it is a string. */
export function batchJson({ version, scheme, results, warnings }: BatchAnswer, output: string): string {
  const items = results.map((result) => {
    const value = result[output];
    return typeof value === "string" ? `{"${output}":"${value}"}` : JSON.stringify(result);
  });
  return `{"version":${version},"scheme":${JSON.stringify(scheme)},"results":[${items.join(",")}],"warnings":${JSON.stringify(warnings)}}`;
}
