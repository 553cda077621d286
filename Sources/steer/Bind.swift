import ArgumentParser
import CommandSupport
import Steering

/// The arguments that define bindings: `LABEL PROTOCOL PREFIX... PORTS`, without LABEL after --refuse or --pass.
struct BindingWords: ParsableArguments {
    @Flag(help: "Refuse these packets, instead of steering them to a label.")
    var refuse = false

    @Flag(help: "Leave these packets to the kernel's ordinary lookup: an exception in a wider binding.")
    var pass = false

    @Argument(
        help: ArgumentHelp(
            "LABEL, then tcp, udp or tcp+udp, prefixes, and ports: 80, 80,443,8000-8999 or all. No LABEL with --refuse or --pass.",
            valueName: "word"), completion: .label(then: ["tcp", "udp", "tcp+udp", "all"]))
    var words: [String] = []

    @Option(
        help: ArgumentHelp(
            "Only packets from this source. Each source makes a binding; a prefix is bound with the sources of its family.",
            valueName: "prefix"))
    var from: [String] = []

    @Option(
        help: ArgumentHelp(
            "Only packets that arrive on this interface; each interface makes a binding. Needs Linux 5.17.",
            valueName: "interface"))
    var on: [String] = []

    func validate() throws {
        let expected = refuse || pass ? 3 : 4
        if refuse, pass { throw misuse("--refuse and --pass exclude each other: give one of them") }
        if words.count < expected {
            let shape = expected == 4 ? "LABEL PROTOCOL PREFIX PORTS" : "PROTOCOL PREFIX PORTS"
            throw misuse("a binding is \(shape), at least \(expected) words, not \(words.count)")
        }
    }

    /// Returns one binding for each combination of prefix, source of its family, and interface.
    func bindings() throws -> [Binding] {
        var rest = words[...]
        if refuse || pass, rest.count > 3, (try? transports(rest[0])) == nil, (try? transports(rest[1])) != nil {
            throw misuse("with --refuse or --pass a binding is PROTOCOL PREFIX PORTS, 3 words: leave the label out")
        }
        let outcome: Outcome = refuse ? .refuse : pass ? .pass : .label(try label(rest.removeFirst()))
        let protocols = try transports(rest.removeFirst())
        let last = rest.removeLast()
        let prefixes = try rest.map(Self.prefix), sources = try from.map(Self.prefix)
        let ports = try parsed { try PortSet(last) }
        let interfaces = on.isEmpty ? [nil] : try on.map(interface)
        if let alone = sources.first(where: { source in !prefixes.contains { $0.family == source.family } }) {
            throw misuse("no prefix here is of the family of the source \(alone): leave it out, or bind one that is")
        }
        var bindings: [Binding] = []
        for prefix in prefixes {
            let own = sources.filter { $0.family == prefix.family }
            if own.isEmpty, !sources.isEmpty {
                throw misuse("no --from here is of the family of \(prefix): give one, or bind it on its own")
            }
            for source in own.isEmpty ? [nil] : own.map(Optional.some) {
                for interface in interfaces {
                    bindings.append(
                        try Binding(protocols, to: prefix, ports: ports, from: source, on: interface, outcome))
                }
            }
        }
        return bindings
    }

    private static func prefix(_ text: String) throws -> IPPrefix {
        try parsed { try IPPrefix(text) }
    }

    private func transports(_ text: String) throws -> ProtocolMatch {
        guard let match = ProtocolMatch.allCases.first(where: { $0.description == text }) else {
            throw misuse("\(text.debugDescription) is not a protocol: give tcp, udp or tcp+udp")
        }
        return match
    }
}

struct Bind: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bind",
        abstract: "Add a binding: these packets go to this label.",
        usage: """
            steer bind LABEL PROTOCOL PREFIX... PORTS [--from PREFIX] [--on INTERFACE] [<options>]
            steer bind --refuse|--pass PROTOCOL PREFIX... PORTS [--from PREFIX] [--on INTERFACE] [<options>]
            """,
        discussion: """
            Several prefixes are bound in one step. A binding that exists already is not an error. If several match \
            a packet, the longer prefix decides, then the longer source, then an interface over none, then fewer \
            ports, then one protocol over both.

              steer bind web tcp 192.0.2.0/24 80,443
              steer bind dns tcp+udp 192.0.2.53/32 2001:db8::53/128 53
              steer bind --refuse tcp 192.0.2.0/24 25
              steer bind --pass tcp 192.0.2.1/32 all
              steer bind --refuse tcp 192.0.2.0/24 all --from 203.0.113.0/25 --from 203.0.113.192/26
              steer bind admin tcp 192.0.2.0/24 22 --from 198.51.100.0/24 --on eth1
            """)

    @OptionGroup var binding: BindingWords
    @OptionGroup var target: Target

    func run() throws {
        let bindings = try binding.bindings()
        let steering = try target.open(for: .changing)
        // Before the change: what fails after it must not look like a failure of the change.
        let doctor = Doctor(try target.namespace(), bpffs: target.bpffs)
        var new: [Binding] = []
        try steering.update { policy in
            if target.json {
                let former = Set(policy.bindings)
                new = bindings.filter { !former.contains($0) }
            }
            for binding in bindings { policy.bind(binding) }
        }
        if target.json { print(JSON.text(BoundReport(bound: new.map(BindingReport.init)))) }
        Remarks.say(doctor.remarks(on: Policy(bindings), inForceIn: steering), asJSON: target.json)
    }
}

struct Unbind: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "unbind",
        abstract: "Remove a binding.",
        usage: """
            steer unbind LABEL PROTOCOL PREFIX... PORTS [--from PREFIX] [--on INTERFACE] [<options>]
            steer unbind --refuse|--pass PROTOCOL PREFIX... PORTS [--from PREFIX] [--on INTERFACE] [<options>]
            """,
        discussion: """
            Give the binding exactly as `steer bindings` shows it. Several prefixes are unbound in one step, or none \
            if one of them is not bound like that.

              steer unbind web tcp 192.0.2.0/24 80,443
              steer unbind admin tcp 192.0.2.0/24 22 --from 198.51.100.0/24 --on eth1
            """)

    @OptionGroup var binding: BindingWords
    @OptionGroup var target: Target

    func run() throws {
        let bindings = try binding.bindings()
        try target.open(for: .changing).update { policy throws(SteeringError) in
            try policy.unbind(each: bindings)
        }
        if target.json { print(JSON.text(UnboundReport(unbound: bindings.map(BindingReport.init)))) }
    }
}

/// The output of `steer bind --json`: the bindings that did not exist before.
private struct BoundReport: Encodable {
    let bound: [BindingReport]
}

private struct UnboundReport: Encodable {
    let unbound: [BindingReport]
}
