import ArgumentParser
import Steering

struct Register: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "register",
        abstract: "Register sockets as a label: they get its packets.",
        usage: """
            steer register LABEL --pid PID [tcp|udp [ADDRESS:PORT]] [<options>]
            steer register LABEL [<options>]              (sockets from $LISTEN_FDS)
            steer register --names NAME=LABEL,... [<options>]
            """,
        discussion: """
            With --pid the socket is taken from a running process, which knows nothing of it: its only listening \
            socket, or the one that is bound as given; a SO_REUSEPORT group whole. Without, from the service manager \
            ($LISTEN_FDS, see sd_listen_fds(3)).

            The socket stays its owner's, bound wherever it is. When it is closed, the label is without a socket.

              steer register web --pid 4711
              steer register web --pid 4711 tcp 127.0.0.1:8080
              systemd-socket-activate -l 8080 steer register web
            """)

    @Argument(help: "The label, then which socket: a protocol, and where it is bound.")
    var words: [String] = []

    @Option(
        help: ArgumentHelp(
            "Labels by the names in $LISTEN_FDNAMES; a name alone is its own label.", valueName: "name=label,..."))
    var names: String?

    @Flag(help: "Take the place of the sockets that the label has.")
    var replace = false

    @OptionGroup var target: Target

    func validate() throws {
        if names == nil, words.isEmpty { throw misuse("which label? steer register LABEL --pid PID") }
        if names != nil, !words.isEmpty { throw misuse("--names gives the labels: leave \(words[0]) out") }
        if names != nil, target.pid != nil {
            throw misuse("--names is about $LISTEN_FDS, and --pid about a process: give one of them")
        }
        if words.count > 3 {
            throw misuse("a socket is a protocol and an address with port, such as tcp 127.0.0.1:8080")
        }
        if words.count > 1, target.pid == nil { throw misuse("whose socket? give --pid PID") }
    }

    private struct Report: Encodable {
        struct Socket: Encodable { let label, `protocol`, bound: String }
        let registered: [Socket]
    }

    func run() throws {
        if let pid = target.pid {
            let label = try label(words[0])
            let selector = try selector()
            let steering = try target.open(for: .changing)
            let sockets = try target.namespace().run { () throws(SteeringError) in
                try ProcessSocket.theOne(of: pid, matching: selector)
            }
            show(try steering.sockets.register(sockets, as: label, replacing: replace))
            try remark(on: sockets.map { $0.socket.rawValue }, in: steering)
            withExtendedLifetime(sockets) {}
        } else {
            let sockets = try activated()
            let steering = try target.open(for: .changing)
            show(try steering.sockets.register(sockets, replacing: replace))
            try remark(on: sockets.map(\.descriptor), in: steering)
        }
    }

    private func remark(on descriptors: [CInt], in steering: SocketSteering) throws(SteeringError) {
        let doctor = Doctor(try target.namespace(), bpffs: target.bpffs)
        Remarks.say(doctor.answers(of: descriptors, registeredIn: steering), asJSON: target.json)
    }

    private func show(_ registered: [RegisteredSocket]) {
        if target.json {
            let report = registered.map {
                Report.Socket(
                    label: $0.destination.label.name, protocol: $0.destination.transport.description,
                    bound: $0.boundAddress.description)
            }
            return print(JSON.text(Report(registered: report)))
        }
        for socket in registered {
            print("registered \(socket.destination.transport) \(socket.boundAddress) as \(socket.destination.label)")
        }
    }

    private func selector() throws -> SocketSelector? {
        guard words.count > 1 else { return nil }
        let address = words.count > 2 ? try parsed { () throws(AddressError) in try SocketAddress(words[2]) } : nil
        return SocketSelector(try transport(words[1]), address)
    }

    private func activated() throws -> [(descriptor: CInt, label: Label)] {
        let sockets = try ActivatedSockets.all()
        guard let names else {
            let label = try label(words[0])
            return sockets.map { ($0.descriptor, label) }
        }
        var labels: [String: Label] = [:]
        for pair in names.split(separator: ",", omittingEmptySubsequences: false) {
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            labels[String(parts[0])] = try label(String(parts.last!))
        }
        let there = Set(sockets.compactMap(\.name))
        if let missing = labels.keys.sorted().first(where: { !there.contains($0) }) {
            let names = there.isEmpty ? "no names" : there.sorted().joined(separator: ", ")
            throw SteeringError(
                .socketNotFound,
                "no socket in $LISTEN_FDS is named \(missing.debugDescription), and there are \(names): see FileDescriptorName="
            )
        }
        return sockets.compactMap { socket in
            socket.name.flatMap { labels[$0] }.map { (socket.descriptor, $0) }
        }
    }
}

struct Unregister: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "unregister",
        abstract: "Take a label's sockets out.",
        discussion: """
            Until others are registered the label is without a socket: its packets are refused, or passed, as its \
            options say. The sockets stay open, their connections go on.

              steer unregister web
              steer unregister web --cookie 1a2b
            """)

    @Argument(help: "The label.")
    var label: String

    @Option(help: ArgumentHelp("Only this one, by its cookie as `steer sockets` shows it.", valueName: "hex"))
    var cookie: String?

    @OptionGroup var target: Target

    func run() throws {
        let label = try steer.label(label)
        let steering = try target.open(for: .changing)
        guard let cookie else { return try steering.sockets.unregister(label) }
        guard let registered = try steering.sockets.list().first(where: { $0.cookie.description == cookie }) else {
            throw SteeringError(
                .socketNotRegistered,
                "no registered socket has the cookie \(cookie.debugDescription): `steer sockets` lists them")
        }
        try steering.sockets.unregister(registered.cookie, from: label)
    }
}
