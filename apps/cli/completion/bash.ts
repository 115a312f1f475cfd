import { SERVER_OPTIONS, places, quoted, type Words } from "./words.ts";

/** bash cuts words at `=` and `:` (COMP_WORDBREAKS), which stand in URLs and ids: the line is cut anew, at white space. */
export function bash(words: readonly Words[]): string {
  const next = words.map(({ path, commands, options }) => {
    const names = commands.map(({ name }) => name);
    return `    ${quoted(path)}) commands=${quoted(names.join(" "))} options=${quoted(options.map(({ name }) => name).join(" "))} ;;`;
  });
  const values = [...places(words)].map(
    ([value, { at }]) => `    ${at.map(quoted).join("|")}) value=${quoted(value)} ;;`,
  );
  const paths = words.filter(({ path }) => path !== "").map(({ path }) => quoted(path));
  return `# bash completion of casemate
_casemate_value() {
  case $1 in
${values.join("\n")}
    *) value= ;;
  esac
}
_casemate() {
  local line=\${COMP_LINE:0:COMP_POINT} cur word last='' verb='' value='' kind rest names='' before='' commands options at=1 i
  local -a words server=()
  read -ra words <<< "$line"
  [[ $line == *[[:space:]] ]] && words+=('')
  cur=\${words[\${#words[@]}-1]}
  COMPREPLY=()
  for ((i = 1; i < \${#words[@]} - 1; i++)); do
    word=\${words[i]}
    if [[ -n $value ]]; then
      [[ " ${SERVER_OPTIONS.join(" ")} " == *" $last "* ]] && server+=("$last" "\${word/#\\~\\//$HOME/}")
      value=
      continue
    fi
    case $word in
      --*=*) ;;
      -*) _casemate_value "$verb $word"; last=$word ;;
      *)
        case "\${verb:+$verb }$word" in
          ${paths.join("|")}) verb="\${verb:+$verb }$word" ;;
          *) ((at++)) ;;
        esac ;;
    esac
  done
  if [[ -z $value && $cur == --*=* ]]; then
    _casemate_value "$verb \${cur%%=*}"
    cur=\${cur#*=}
  elif [[ -z $value ]]; then
    case $verb in
${next.join("\n")}
    esac
    if [[ $cur == -* ]]; then
      COMPREPLY=($(compgen -W "$options" -- "$cur"))
      return
    fi
    _casemate_value "$verb $at"
    COMPREPLY=($(compgen -W "$commands" -- "$cur"))
    if [[ -z $value && -z $cur ]]; then COMPREPLY+=($(compgen -W "$options")); fi
  fi
  read -r kind rest <<< "$value"
  case $kind in
    files) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
    directories) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -d -- "$cur"); return ;;
    words) names=\${rest// /$'\\n'} ;;
    list)
      [[ $cur == *,* ]] && before=\${cur%,*},
      names=$before\${rest// /$'\\n'$before} ;;
    names) names=$(casemate "\${server[@]}" completion names "$rest" 2>/dev/null </dev/null) ;;
  esac
  while IFS=$'\\t' read -r word _; do
    [[ -n $word && $word == "$cur"* ]] && COMPREPLY+=("$word")
  done <<< "$names"
  if [[ $cur == *:* && $COMP_WORDBREAKS == *:* ]]; then COMPREPLY=("\${COMPREPLY[@]#"\${cur%:*}:"}"); fi
}
complete -F _casemate casemate
`;
}
