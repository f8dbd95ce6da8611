"""`sslctl completion`."""

from __future__ import annotations

import click

from sslctl.cli.completion_answers import SHELLS, VARIABLE
from sslctl.cli.output.stdout import write_line

# Each script runs the program that was typed, so that the sslctl of a venv completes with its own commands. It reads what
# click writes for the shell: `type,value` for bash, with a description behind a tab for fish, and three lines for zsh.
_SCRIPTS = {
    "bash": """\
_sslctl_completion() {
    local IFS=$'\\n' item
    COMPREPLY=()
    while read -r item; do
        case $item in
            plain,*) COMPREPLY+=("${item#plain,}") ;;
            file,*) compopt -o default ;;
            dir,*) compopt -o dirnames ;;
        esac
    done < <(env COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD="$COMP_CWORD" VARIABLE=bash_complete \\
        "${1/#\\~/$HOME}" </dev/null 2>/dev/null)
}
complete -o nosort -F _sslctl_completion sslctl
""",
    "zsh": """\
#compdef sslctl
_sslctl_completion() {
    local kind value description program=${~words[1]}
    local -a plain described
    while read -r kind && read -r value && read -r description; do
        case $kind in
            plain)
                if [[ $description == _ ]]; then
                    plain+=("$value")
                else
                    described+=("$value:$description")
                fi ;;
            file) _files ;;
            dir) _files -/ ;;
        esac
    done < <(env COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT-1)) VARIABLE=zsh_complete "$program" </dev/null 2>/dev/null)
    (( $#described )) && _describe -V sslctl described -U
    (( $#plain )) && compadd -U -V sslctl -a plain
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _sslctl_completion "$@"
else
    compdef _sslctl_completion sslctl
fi
""",
    "fish": """\
function _sslctl_completion
    set -l program (commandline -opc)[1]
    set -l items (env COMP_WORDS=(commandline -cp | string collect) COMP_CWORD=(commandline -ct | string collect) \\
        VARIABLE=fish_complete (string replace -r '^~' $HOME -- $program) </dev/null 2>/dev/null)
    for item in $items
        set -l parts (string split -m 1 , -- $item)
        switch $parts[1]
            case plain
                echo $parts[2]
            case file
                __fish_complete_path (commandline -ct)
            case dir
                __fish_complete_directories (commandline -ct)
        end
    end
end
complete --command sslctl --no-files --arguments '(_sslctl_completion)'
""",
}


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
def command(shell: str) -> None:
    """Print a script that lets a shell complete commands, options, their values and the names of domains.

    \b
    bash, in ~/.bashrc:
      source <(sslctl completion bash)
    zsh, in ~/.zshrc after compinit:
      source <(sslctl completion zsh)
    fish, once after each installation:
      sslctl completion fish > ~/.config/fish/completions/sslctl.fish

    Names are read from the state of the configuration, at most 200, if this user can read its database. Nothing is changed,
    and nothing is reported if that fails.
    """  # noqa: D301 - click keeps the lines of a paragraph that begins with a backspace
    write_line(_SCRIPTS[shell].replace("VARIABLE", VARIABLE).rstrip())
