import { CasemateError } from "@casemate/foundation/errors";

/** Free text that is kept or handed to policy: UTF-8 cannot write half of a surrogate pair. @throws BAD_REQUEST naming the field. */
export function checkWellFormed(field: string, text: string | undefined): void {
  if (text !== undefined && !text.isWellFormed())
    throw new CasemateError(
      "BAD_REQUEST",
      `${field} is not well-formed Unicode: half of a surrogate pair stands alone`,
    );
}
