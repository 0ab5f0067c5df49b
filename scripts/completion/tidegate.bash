# Completion of tidegate's words in bash. Which there are says the program itself.
#
# In ~/.bashrc:  source <(tidegate completion bash)

_tidegate() {
  local line=${COMP_LINE:0:COMP_POINT} word prefix candidate description
  local -a words
  read -r -a words <<<"$line"
  [[ $line == *[[:space:]] ]] && words+=("")
  word=${words[${#words[@]} - 1]}
  # Bash takes what follows one of these for a word of its own.
  prefix=${word%"${word##*[=:@]}"}
  COMPREPLY=()
  while IFS=$'\t' read -r candidate description; do
    case $candidate in
      :files | :directories)
        compopt -o filenames
        local kind=-f
        [[ $candidate == :directories ]] && kind=-d
        while IFS= read -r candidate; do
          COMPREPLY+=("$candidate")
        done < <(compgen "$kind" -- "${word#"$prefix"}")
        ;;
      *)
        [[ $candidate == *[=/] ]] && compopt -o nospace
        COMPREPLY+=("${candidate#"$prefix"}")
        ;;
    esac
  done < <("${words[0]/#\~/$HOME}" completion words -- "${words[@]:1}" 2>/dev/null)
}

complete -F _tidegate tidegate
