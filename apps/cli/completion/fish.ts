import { SERVER_OPTIONS, places, type Value, type Words } from "./words.ts";

/** A word in single quotes, in which fish takes a backslash before a quote or a backslash. */
function quoted(text: string): string {
  return `'${text.replaceAll(/['\\]/g, String.raw`\$&`)}'`;
}

/** How `complete` is told what stands there. A value is required but for `files`, where fish does it by itself. */
function offer({ kind, words }: Value): string {
  const offers: Readonly<Record<Value["kind"], string>> = {
    free: "-x",
    files: "-r -F",
    directories: "-x -a '(__fish_complete_directories)'",
    words: `-x -a ${quoted(words.join(" "))}`,
    list: `-x -a ${quoted(`(__casemate_list ${words.join(" ")})`)}`,
    names: `-x -a ${quoted(`(__casemate_names ${words.join(" ")})`)}`,
  };
  return offers[kind];
}

export function fish(words: readonly Words[]): string {
  const lines: string[] = [];
  for (const { path, commands, options, arguments: values } of words) {
    const at = `__casemate_at ${quoted(path)}`;
    for (const { name, summary } of commands)
      lines.push(`complete -c casemate -n ${quoted(`${at} 1`)} -f -a ${quoted(name)} -d ${quoted(summary)}`);
    values.forEach((value, index) => {
      if (value.kind === "free") return;
      lines.push(`complete -c casemate -n ${quoted(`${at} ${index + 1}`)} ${offer(value).replace("-x", "-f")}`);
    });
    for (const { name, summary, value } of options) {
      const takes = value === undefined ? "" : ` ${offer(value)}`;
      lines.push(`complete -c casemate -n ${quoted(at)} -l ${name.slice(2)}${takes} -d ${quoted(summary)}`);
    }
  }
  const paths = words.filter(({ path }) => path !== "").map(({ path }) => quoted(path));
  const valued = [...places(words).values()].flatMap(({ at }) => at.filter((place) => place.includes(" --")));
  return `# fish completion of casemate
set -g __casemate_paths ${paths.join(" ")}
set -g __casemate_valued ${valued.map(quoted).join(" ")}
function __casemate_walk -d 'command path, number of the argument, options that name a server'
  set -l path ''
  set -l at 1
  set -l last ''
  set -l server
  for word in (commandline -opc)[2..-1]
    if test -n "$last"
      contains -- $last ${SERVER_OPTIONS.join(" ")}; and set -a server $last $word
      set last ''
    else if string match -q -- '--*=*' $word
    else if string match -q -- '-*' $word
      contains -- "$path $word" $__casemate_valued; and set last $word
    else
      set -l longer (string trim -- "$path $word")
      if contains -- $longer $__casemate_paths
        set path $longer
      else
        set at (math $at + 1)
      end
    end
  end
  printf '%s\\n' $path $at $server
end
function __casemate_at
  set -l here (__casemate_walk)
  test "$here[1]" = "$argv[1]"; and begin; test (count $argv) = 1; or test "$here[2]" = "$argv[2]"; end
end
function __casemate_names
  set -l here (__casemate_walk)
  casemate $here[3..-1] completion names $argv[1] 2>/dev/null </dev/null
end
function __casemate_list
  set -l before (string match -r -- '^(?:--[^=]*=)?(.*,)' (commandline -ct))[2]
  printf "$before%s\\n" $argv
end
complete -c casemate -f
${lines.join("\n")}
`;
}
