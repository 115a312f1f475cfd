export function runSelfTests(): void {}
