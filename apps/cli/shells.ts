/** What may follow one command path. */
export interface Words {
  /** Words after `casemate`, joined by spaces; empty for the program itself. */
  readonly path: string;
  readonly commands: readonly { readonly name: string; readonly summary: string }[];
  readonly options: readonly string[];
  /** What its first argument may be, where that is one of a few. */
  readonly values: readonly string[];
  /** Whether its first argument is the name of a key. */
  readonly takesKey: boolean;
}

/** A word in single quotes, safe in every shell here. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** Options whose value is a file. */
const FILES = ["--in", "--out", "--signature", "--check", "--checks", "--data", "--token-file", "--ca-file"];
const FILE_OPTIONS = [
  ...FILES,
  "--tls-cert",
  "--tls-key",
  "--log",
  "--pin-file",
  "--passphrase-file",
  "--module",
  "--dir",
  "--checkpoint",
];

function bash(words: readonly Words[]): string {
  const cases = words.map(
    ({ path, commands, options, values, takesKey }) =>
      `    ${quoted(path)}) next=${quoted([...commands.map(({ name }) => name), ...values, ...options].join(" "))}; key=${takesKey ? 1 : 0} ;;`,
  );
  const paths = words.filter(({ path }) => path !== "").map(({ path }) => quoted(path));
  return `# bash completion of casemate
_casemate() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} verb= next= key=0 word known i
  case $prev in
    ${FILE_OPTIONS.join("|")}) COMPREPLY=($(compgen -f -- "$cur")); return ;;
  esac
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=\${COMP_WORDS[i]}
    [[ $word == -* ]] && continue
    for known in ${paths.join(" ")}; do
      [[ $known == "\${verb:+$verb }$word" ]] && verb=$known && break
    done
  done
  case $verb in
${cases.join("\n")}
  esac
  if [[ $key == 1 && $cur != -* ]]; then
    next="$next $(casemate completion keys 2>/dev/null)"
  fi
  COMPREPLY=($(compgen -W "$next" -- "$cur"))
}
complete -o default -F _casemate casemate
`;
}

/** `path` is no name for a variable here: zsh ties it to PATH. */
function zsh(words: readonly Words[]): string {
  const cases = words.map(({ path, commands, options, values, takesKey }) => {
    const described = [
      ...commands.map(({ name, summary }) => quoted(`${name}:${summary.replaceAll(":", "\\:")}`)),
      ...values.map(quoted),
    ];
    return `    ${quoted(path)}) commands=(${described.join(" ")}); options=(${options.map(quoted).join(" ")}); key=${takesKey ? 1 : 0} ;;`;
  });
  const paths = words.filter(({ path }) => path !== "").map(({ path }) => quoted(path));
  return `#compdef casemate
_casemate() {
  local verb='' word known key=0
  local -a commands options known_paths names
  known_paths=(${paths.join(" ")})
  case "\${words[CURRENT-1]}" in
    ${FILE_OPTIONS.join("|")}) _files; return ;;
  esac
  for word in "\${(@)words[2,CURRENT-1]}"; do
    [[ $word == -* ]] && continue
    for known in "\${known_paths[@]}"; do
      [[ $known == "\${verb:+$verb }$word" ]] && verb=$known && break
    done
  done
  case $verb in
${cases.join("\n")}
  esac
  if [[ $key == 1 ]]; then
    names=("\${(@f)$(casemate completion keys 2>/dev/null)}")
    compadd -a names
  fi
  (( \${#commands} )) && _describe 'command' commands
  compadd -a options
}
compdef _casemate casemate
`;
}

function fish(words: readonly Words[]): string {
  const lines: string[] = [];
  for (const { path, commands, options, values, takesKey } of words) {
    const at = `__casemate_at ${quoted(path)}`;
    for (const { name, summary } of commands) {
      lines.push(`complete -c casemate -n ${quoted(at)} -f -a ${quoted(name)} -d ${quoted(summary)}`);
    }
    for (const value of values) lines.push(`complete -c casemate -n ${quoted(at)} -f -a ${quoted(value)}`);
    for (const option of options) {
      const value = FILE_OPTIONS.includes(option) ? " -r -F" : "";
      lines.push(`complete -c casemate -n ${quoted(at)} -l ${option.slice(2)}${value}`);
    }
    if (takesKey) lines.push(`complete -c casemate -n ${quoted(at)} -f -a '(casemate completion keys 2>/dev/null)'`);
  }
  const paths = words.filter(({ path }) => path !== "").map(({ path }) => quoted(path));
  return `# fish completion of casemate
function __casemate_at
  set -l path ''
  for word in (commandline -opc)[2..-1]
    string match -q -- '-*' $word; and continue
    set -l longer (string trim -- "$path $word")
    contains -- $longer ${paths.join(" ")}; and set path $longer
  end
  test "$path" = "$argv[1]"
end
${lines.join("\n")}
`;
}

/** Writers of completion scripts by shell. */
export const SHELLS: Readonly<Record<string, (words: readonly Words[]) => string>> = { bash, zsh, fish };
