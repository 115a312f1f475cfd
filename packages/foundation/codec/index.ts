export { isCalendarDate } from "./calendar.ts";
export { Reader } from "./reader.ts";
export { Writer } from "./writer.ts";
export { decode, encode, type Codec, type Infer } from "./codec.ts";
export { u8, u16, u32, u64, bool8, fixed, bytes, utf8, rest, enumOf, flags } from "./primitives.ts";
export { struct, sized, list, optional, select, tagged } from "./composites.ts";
export { lookup, table } from "./table.ts";
