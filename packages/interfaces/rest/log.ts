/** What the REST interface logs through; pino's loggers fit. */
export interface RestLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}
