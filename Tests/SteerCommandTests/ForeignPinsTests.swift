import KernelTestSupport
import Testing

/// BPF file systems where others may write: what they put there is not taken for ours, and what is ours they cannot
/// replace.
@Suite(.kernel)
struct ForeignPinsTests {
    private static let stranger = "setpriv --reuid 65533 --regid 65533 --clear-groups"
    private static let both = "-all,+bpf,+net_admin"
    /// Another user, who may load.
    private static let neighbour = "\(stranger) --bounding-set \(both) --inh-caps \(both) --ambient-caps \(both)"

    /// A bed whose file system is mounted in some way.
    private func withFileSystem(_ options: String, _ body: @escaping @Sendable (Bed) throws -> Void) async throws {
        try await withNetworkNamespace(routing: Flow.prefixes) { try body(try Bed(options: options)) }
    }

    @Test("Who may not load makes no directories", arguments: ["mode=1777", "mode=0777", "mode=0700"])
    func failedLoad(options: String) async throws {
        try await withFileSystem(options) { bed in
            let message = try bed.refused("load", "", under: Self.stranger)
            try verify(["CAP_BPF", "Permission"].contains { message.contains($0) }, message)
            try verify(bed.bpffs.listing(), is: [])
            try bed.steer("load")
            try bed.steer("bind web tcp 192.0.2.0/24 80")
            for verb in ["unload", "upgrade", "load", "bind web tcp 192.0.2.0/25 81", "doctor --fix"] {
                let before = try bed.state()
                try verify(bed.run(verb, under: Self.stranger).exitCode != 0, verb)
                try verify(bed.state(), is: before, verb)
            }
        }
    }

    @Test("A directory of another user's is refused by every command, and stays as it is")
    func foreignDirectory() async throws {
        try await withFileSystem("mode=1777") { bed in
            for owner in [Self.stranger, Self.neighbour] {
                if owner == Self.neighbour {
                    try bed.steer("load", under: owner)
                    try bed.steer("bind web tcp 192.0.2.0/24 80", under: owner)
                } else {
                    try shell("\(owner) mkdir \(bed.bpffs.path)/steering")
                }
                let before = try bed.bpffs.listing()
                for verb in ["load", "unload", "upgrade", "bindings", "bind web tcp 192.0.2.0/25 81", "doctor --fix"] {
                    let run = try bed.run(verb)
                    try verify(run.exitCode != 0 && (run.error + run.output).contains("user 65533"), "\(verb): \(run)")
                    try verify(bed.bpffs.listing(), is: before, verb)
                }
                if owner == Self.neighbour {
                    try verify(bed.json("bindings", under: owner)["bindings"].array.count, is: 1)
                    try bed.steer("unload", under: owner)
                }
                try shell("rmdir \(bed.bpffs.path)/steering")
            }
            try bed.steer("load")
        }
    }

    @Test("A link is not followed: neither that of a file system's owner nor one in a directory of ours")
    func links() async throws {
        try await withFileSystem("mode=0755") { bed in
            let files = "\(bed.folder)/files", place = "\(bed.bpffs.path)/steering"
            try shell("mkdir -p \(files)/deeper && touch \(files)/one \(files)/deeper/two")
            let inode = try shell("stat -Lc %i /proc/thread-self/ns/net").dropLast()
            try shell("mkdir \(place) && ln -s \(files) \(place)/new-\(inode)")
            // Of another user all is refused; of ours the link goes, and what it leads to stays.
            try shell("chown -h 65533 \(bed.bpffs.path) \(place) \(place)/new-\(inode)")
            for verb in ["load", "unload", "doctor --fix"] { try verify(bed.run(verb).exitCode != 0, verb) }
            try shell("chown -h 0 \(bed.bpffs.path) \(place) \(place)/new-\(inode)")
            try bed.steer("load")
            try verify(shell("test -L \(place)/new-\(inode) && echo there || true"), is: "")
            try shell("mv \(place) \(place)-real && ln -s \(place)-real \(place)")
            try bed.refused("unload", "is not a directory")
            try shell("rm \(place) && mv \(place)-real \(place)")
            try bed.steer("unload")
            try verify(shell("ls \(files) \(files)/deeper | grep -c -e one -e two"), is: "2\n")
        }
    }

    @Test("A directory that others may write to is refused")
    func writable() async throws {
        try await withBed { bed in
            try shell("chmod g+w \(bed.bpffs.path)/steering")
            try verify(bed.run("unload").error.contains("is writable by others"), "the directory")
            try shell("chmod g-w \(bed.bpffs.path)/steering && chmod 0775 \(bed.bpffs.path)")
            try verify(bed.run("unload").error.contains("is writable by others"), "the file system")
        }
    }

    @Test("Modes are the documented ones, whatever the umask", arguments: ["000", "022", "077"])
    func modes(umask: String) async throws {
        try await withBed(loaded: false) { bed in
            let wrapper = "umask \(umask);"
            // As a former version left it.
            try shell("mkdir -m 0700 \(bed.bpffs.path)/steering")
            try bed.steer("load --readers 65534", under: wrapper)
            try bed.steer("bind web tcp 192.0.2.0/24 80", under: wrapper)
            try bed.steer("upgrade", under: wrapper)
            let modes = try shell(
                "cd \(bed.bpffs.path) && stat -c '%a %n' steering steering/lock-* steering/[0-9]* steering/*/* | sed 's/[0-9]*[0-9]$/N/;s/[-/][0-9]*\\//\\//' | sort -u"
            )
            for expected in [
                "755 steering\n", "700 steering/lock-N\n", "750 steering/N\n", "600 steering/program\n",
                "600 steering/link\n", "640 steering/sockets\n", "755 steering/layout-N\n", "640 steering/bindings-N\n",
            ] {
                try verify(("\n" + modes).contains("\n" + expected), "\(expected) in \(modes)")
            }
            let reader = "setpriv --reuid 65534 --regid 65534 --clear-groups"
            try verify(bed.json("bindings", under: reader)["bindings"].array.count, is: 1)
        }
    }

    @Test("A state that was moved out of its place is never taken for litter, and comes back")
    func movedAway() async throws {
        try await withBed { bed in
            try bed.steer("bind web tcp 192.0.2.0/24 80")
            let server = try bed.server("here", port: 8080)
            try bed.steer("register web --pid \(server.pid)")
            let before = try bed.state()
            for verb in ["load", "upgrade", "doctor --fix"] {
                try shell("cd \(bed.bpffs.path)/steering && mv [0-9]* new-$(echo [0-9]*)")
                _ = try bed.run(verb)
                try verify(bed.ask("192.0.2.9", port: 80), is: "here", verb)
                if verb == "doctor --fix" { _ = try bed.run("load") }
                try verify(bed.state(), is: before, verb)
            }
        }
    }

    @Test(
        "Pins that upgrading makes anew are named so, and made anew under traffic",
        arguments: ["program", "grace", "token", "metrics", "verdicts"])
    func missingPin(name: String) async throws {
        try await withBed { bed in
            try bed.steer("bind web tcp 192.0.2.0/24 80")
            let server = try bed.server("here", port: 8080)
            try bed.steer("register web --pid \(server.pid)")
            let before = try bed.state()
            try shell("rm \(bed.bpffs.path)/steering/[0-9]*/\(name)")
            let run = try bed.run("bind web tcp 192.0.2.0/24 81")
            try verify(run.exitCode == 1 && run.error.contains("upgrade it"), "\(run)")
            try verify(bed.ask("192.0.2.9", port: 80), is: "here")
            try bed.steer("upgrade")
            try verify(bed.state(), is: before)
            try verify(bed.ask("192.0.2.9", port: 80), is: "here")
            try bed.steer("bind web tcp 192.0.2.0/24 81")
        }
    }
}
