export { deviceContract, type ContractOptions, type ContractSkip } from "./contract.ts";
