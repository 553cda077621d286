"""Creates a directory of links to the programs of Debian packages, of their dependencies, and of the essential packages.

setup-programs.py DIRECTORY PACKAGE...
"""

import os
import re
import subprocess
import sys

FOLDERS = ["/usr/local/sbin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]


def installed():
    """Yields each installed package: its name, all names it provides, whether it is essential, and its dependencies."""
    form = "${db:Status-Status}\t${Package}\t${Essential}\t${Provides}\t${Pre-Depends}, ${Depends}\n"
    text = subprocess.run(["dpkg-query", "-W", "-f", form], check=True, capture_output=True, text=True).stdout
    for line in text.splitlines():
        status, name, essential, provides, depends = line.split("\t")
        if status == "installed":
            names = [name] + [re.split(r"[ (]", other.strip())[0] for other in provides.split(",") if other.strip()]
            yield name, names, essential == "yes", [each.strip() for each in re.split(r"[,|]", depends) if each.strip()]


def closure(wanted):
    """Returns the wanted and the essential packages with all their dependencies; of alternatives, the installed ones."""
    providers, depends, found = {}, {}, set()
    for name, names, essential, needs in installed():
        for each in names:
            providers.setdefault(each, []).append(name)
        depends[name] = [re.split(r"[ (:]", need)[0] for need in needs]
        if essential:
            wanted = [*wanted, name]
    waiting = [name for each in wanted for name in providers.get(each, [])]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += [other for need in depends[name] for other in providers.get(need, [])]
    return found


def files(packages):
    """Returns the paths of their programs, without /usr: /bin may be /usr/bin."""
    text = subprocess.run(["dpkg-query", "-L", *sorted(packages)], check=True, capture_output=True, text=True).stdout
    return {line.removeprefix("/usr") for line in text.splitlines() if os.path.dirname(line) in FOLDERS}


def main(directory, *wanted):
    owned = files(closure(list(wanted)))
    os.makedirs(directory)
    for folder in FOLDERS:
        for name in os.listdir(folder) if os.path.isdir(folder) else []:
            path, target = f"{folder}/{name}", ""
            if os.path.islink(path) and os.readlink(path).startswith("/etc/alternatives/"):
                target = os.readlink(os.readlink(path)) if os.path.islink(os.readlink(path)) else ""
            if {path.removeprefix("/usr"), target.removeprefix("/usr")} & owned:
                if not os.path.lexists(f"{directory}/{name}"):
                    os.symlink(path, f"{directory}/{name}")


main(*sys.argv[1:])
