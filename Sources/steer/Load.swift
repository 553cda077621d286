import ArgumentParser
import Glibc
import Steering

struct Load: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Load the program and attach it to the network namespace.",
        discussion: """
            Until something is bound, nothing is steered. What is loaded stays until `steer unload`, the end of the \
            namespace, or a reboot.

              steer load
              steer load --netns /run/netns/edge --readers monitoring
            """)

    @OptionGroup var target: Target

    @Option(help: ArgumentHelp("Who may read, beside root: a group's name or number.", valueName: "group"))
    var readers: String?

    func run() throws {
        _ = try SocketSteering.load(
            into: try target.namespace(), bpffs: target.bpffs, readers: try readers.map(Self.group))
    }

    private static func group(_ text: String) throws -> UInt32 {
        if let number = UInt32(text) { return number }
        guard let entry = getgrnam(text) else {
            throw misuse("there is no group \(text.debugDescription): `getent group` lists them")
        }
        return entry.pointee.gr_gid
    }
}

struct Unload: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Detach the program and forget everything.",
        discussion: """
            Traffic takes the kernel's ordinary way again; established connections go on. Removes damaged state too.
            """)

    @OptionGroup var target: Target

    func run() throws {
        try SocketSteering.unload(from: try target.namespace(), bpffs: target.bpffs)
    }
}

struct Upgrade: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Replace the loaded program by this version's, under traffic.",
        discussion: """
            Bindings, sockets and counters stay, and no connection fails. State that an older version left is \
            converted; that of a newer one is refused.
            """)

    @OptionGroup var target: Target

    func run() throws {
        try SocketSteering.upgrade(in: try target.namespace(), bpffs: target.bpffs)
    }
}
