import { SERVER_OPTIONS, places, quoted, type Words } from "./words.ts";

/** One entry of `_describe`: a colon ends the word. */
function described({ name, summary }: { readonly name: string; readonly summary: string }): string {
  return quoted(`${name.replaceAll(":", String.raw`\:`)}:${summary.replaceAll(":", String.raw`\:`)}`);
}

/** `path` is no name for a variable here: zsh ties it to PATH. */
export function zsh(words: readonly Words[]): string {
  const next = words.map(
    ({ path, commands, options }) =>
      `    ${quoted(path)}) commands=(${commands.map(described).join(" ")}); options=(${options.map(described).join(" ")}) ;;`,
  );
  const values = [...places(words)].map(
    ([value, { at }]) => `    ${at.map(quoted).join("|")}) value=${quoted(value)} ;;`,
  );
  const paths = words.filter(({ path }) => path !== "").map(({ path }) => quoted(path));
  return `#compdef casemate
_casemate_value() {
  case $1 in
${values.join("\n")}
    *) value= ;;
  esac
}
_casemate() {
  local cur="\${words[CURRENT]}" word last='' verb='' value='' rest
  local -i at=1
  local -a commands options names shown server
  for word in "\${(@)words[2,CURRENT-1]}"; do
    if [[ -n $value ]]; then
      [[ " ${SERVER_OPTIONS.join(" ")} " == *" $last "* ]] && server+=("$last" "\${\${(Q)word}/#\\~\\//$HOME/}")
      value=
      continue
    fi
    case $word in
      --*=*) ;;
      -*) _casemate_value "$verb $word"; last=$word ;;
      *)
        case "\${verb:+$verb }$word" in
          ${paths.join("|")}) verb="\${verb:+$verb }$word" ;;
          *) (( at++ )) ;;
        esac ;;
    esac
  done
  if [[ -z $value && $cur == --*=* ]]; then
    _casemate_value "$verb \${cur%%=*}"
    compset -P '*='
  elif [[ -z $value ]]; then
    case $verb in
${next.join("\n")}
    esac
    if [[ $cur == -* ]]; then
      _describe -o 'option' options
      return
    fi
    _casemate_value "$verb $at"
    (( \${#commands} )) && _describe 'command' commands
    [[ -z $value && -z $cur ]] && _describe -o 'option' options
  fi
  rest=\${value#* }
  case \${value%% *} in
    files) _files; return ;;
    directories) _files -/; return ;;
    words) names=(\${(s: :)rest}) ;;
    list) compset -P '*,'; names=(\${(s: :)rest}) ;;
    names)
      shown=("\${(@f)$(casemate "\${server[@]}" completion names "$rest" 2>/dev/null </dev/null)}")
      names=("\${(@)shown%%$'\\t'*}")
      shown=("\${(@)shown/$'\\t'/  -- }")
      [[ -n \${names[1]} ]] && compadd -l -d shown -a names
      return ;;
  esac
  (( \${#names} )) && compadd -a names
}
compdef _casemate casemate
`;
}
