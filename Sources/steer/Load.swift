import ArgumentParser
import CommandSupport
import Glibc
import Steering

/// The group that may read the loaded steering.
struct Readers: ParsableArguments {
    @Option(help: ArgumentHelp("The group that may read, besides root: its name or number.", valueName: "group"))
    var readers: String?

    /// Returns the group ID, or `nil` without the option.
    func number() throws -> UInt32? {
        guard let readers else { return nil }
        if let number = UInt32(readers) { return number }
        guard let entry = getgrnam(readers) else {
            throw misuse("there is no group \(readers.debugDescription): `getent group` lists them")
        }
        return entry.pointee.gr_gid
    }
}

struct Load: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "load",
        abstract: "Load the program and attach it to the network namespace.",
        discussion: """
            Nothing is steered until something is bound. The steering stays loaded until `steer unload`, the end of \
            the namespace, or a reboot.

              steer load
              steer load --netns /run/netns/edge --readers monitoring
            """)

    @OptionGroup var target: Target

    @OptionGroup var readers: Readers

    func run() throws {
        let namespace = try target.namespace()
        _ = try SocketSteering.load(into: namespace, bpffs: target.bpffs, readers: try readers.number())
        LoadReport.show(.loaded, target)
    }
}

struct Unload: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "unload",
        abstract: "Detach the program, and remove bindings, registrations and counters.",
        discussion: """
            Traffic goes through the kernel's ordinary lookup again; established connections go on. Removes damaged \
            state, too.
            """)

    @OptionGroup var target: Target

    func run() throws {
        try SocketSteering.unload(from: try target.namespace(), bpffs: target.bpffs)
        LoadReport.show(.unloaded, target)
    }
}

struct Upgrade: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "upgrade",
        abstract: "Replace the loaded program with this version's, under traffic.",
        discussion: """
            Bindings, sockets and counters stay, and no connection fails. State of an older version is converted; \
            state of a newer one is refused.
            """)

    @OptionGroup var target: Target

    func run() throws {
        try SocketSteering.upgrade(in: try target.namespace(), bpffs: target.bpffs)
        LoadReport.show(.upgraded, target)
    }
}

/// The output of `steer load`, `unload` and `upgrade` with --json.
struct LoadReport: Encodable {
    enum Change: String, Encodable {
        case loaded, unloaded, upgraded
    }
    let done: Change

    static func show(_ change: Change, _ target: Target) {
        if target.json { print(JSON.text(LoadReport(done: change))) }
    }
}
