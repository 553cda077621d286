import ArgumentParser
import Steering

/// The words that make a binding: `LABEL PROTO PREFIX PORTS`, or three of them behind --refuse or --pass.
struct BindingWords: ParsableArguments {
    @Flag(help: "Refuse these packets, instead of leading them to a label.")
    var refuse = false

    @Flag(help: "Leave these packets to the kernel's ordinary lookup: an exception in a wider binding.")
    var pass = false

    @Argument(
        help: ArgumentHelp(
            "LABEL, then tcp, udp or tcp+udp, a prefix, and ports: 80, 80,443,8000-8999 or all. No LABEL with --refuse and --pass.",
            valueName: "word"))
    var words: [String] = []

    func validate() throws {
        let expected = refuse || pass ? 3 : 4
        if refuse, pass { throw misuse("--refuse and --pass exclude each other: give one of them") }
        if words.count != expected {
            let shape = expected == 4 ? "LABEL PROTOCOL PREFIX PORTS" : "PROTOCOL PREFIX PORTS"
            throw misuse("a binding is \(shape), \(expected) words, and here are \(words.count)")
        }
    }

    func binding() throws -> Binding {
        let outcome: Outcome = refuse ? .refuse : pass ? .pass : .label(try label(words[0]))
        let rest = Array(words.suffix(3))
        let prefix = try parsed { () throws(AddressError) in try IPPrefix(rest[1]) }
        let ports = try parsed { () throws(AddressError) in try PortSet(rest[2]) }
        return try Binding(try transports(rest[0]), to: prefix, ports: ports, outcome)
    }

    private func transports(_ text: String) throws -> ProtocolMatch {
        guard let match = ProtocolMatch.allCases.first(where: { $0.description == text }) else {
            throw misuse("\(text.debugDescription) is no protocol: give tcp, udp or tcp+udp")
        }
        return match
    }
}

struct Bind: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Add a binding: these packets go to this label.",
        usage: """
            steer bind LABEL PROTOCOL PREFIX PORTS [<options>]
            steer bind --refuse|--pass PROTOCOL PREFIX PORTS [<options>]
            """,
        discussion: """
            A binding that is there already is no error. Of several that match a packet the longer prefix decides, \
            then fewer ports, then one protocol over both.

              steer bind web tcp 192.0.2.0/24 80,443
              steer bind dns tcp+udp 2001:db8::/48 53
              steer bind --refuse tcp 192.0.2.0/24 25
              steer bind --pass tcp 192.0.2.1/32 all
            """)

    @OptionGroup var binding: BindingWords
    @OptionGroup var target: Target

    func run() throws {
        let binding = try binding.binding()
        try target.open(for: .changing).bind(binding)
    }
}

struct Unbind: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Remove a binding.",
        usage: """
            steer unbind LABEL PROTOCOL PREFIX PORTS [<options>]
            steer unbind --refuse|--pass PROTOCOL PREFIX PORTS [<options>]
            """,
        discussion: """
            All of it must be given as `steer bindings` shows it.

              steer unbind web tcp 192.0.2.0/24 80,443
            """)

    @OptionGroup var binding: BindingWords
    @OptionGroup var target: Target

    func run() throws {
        let binding = try binding.binding()
        try target.open(for: .changing).unbind(binding)
    }
}
