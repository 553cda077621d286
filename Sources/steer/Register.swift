import ArgumentParser
import CommandSupport
import Steering

struct Register: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "register",
        abstract: "Register sockets for a label: they get its packets.",
        usage: """
            steer register LABEL --pid PID [tcp|udp [[ADDRESS]:PORT]] [<options>]
            steer register LABEL [<options>]              (sockets from $LISTEN_FDS)
            steer register --names NAME=LABEL,... [<options>]
            """,
        discussion: """
            With --pid the socket is taken from a running program, which needs no changes, in its network namespace: \
            the only listening socket of the process and its descendants, or the one that is bound as given; a \
            SO_REUSEPORT group as a whole. Without --pid sockets come from the service manager ($LISTEN_FDS, see \
            sd_listen_fds(3)).

            The socket stays its owner's, bound as it is. When it is closed, the label has no socket. A program that \
            is reloaded may close it and open another: with --follow the command stays, and registers the new one, \
            until the program ends; while there is none, clients wait up to ten seconds.

              steer register web --pid 4711
              steer register web --pid 4711 tcp 127.0.0.1:8080
              steer register web --pid 4711 tcp :8080 --all --follow --wait 30
              systemd-socket-activate -l 8080 steer register web
            """)

    @Argument(
        help: "The label, then which socket: a protocol, and where it is bound.",
        completion: .label(then: ["tcp", "udp"]))
    var words: [String] = []

    @Option(
        help: ArgumentHelp(
            "Labels for the names in $LISTEN_FDNAMES; a name alone is also the label.", valueName: "name=label,..."))
    var names: String?

    @Flag(help: "Replace the sockets that the label has.")
    var replace = false

    @Flag(help: "Register a socket of each protocol and family, not only one.")
    var all = false

    @Flag(help: "Stay until the program ends, and register the sockets that it listens on, also after reloads.")
    var follow = false

    @Option(help: ArgumentHelp("How long the program may take to listen.", valueName: "seconds"))
    var wait = 0.0

    @OptionGroup var target: Target

    func validate() throws {
        if names == nil, words.isEmpty { throw misuse("which label? steer register LABEL --pid PID") }
        if names != nil, !words.isEmpty { throw misuse("--names gives the labels: leave \(words[0]) out") }
        if names != nil, target.pid != nil {
            throw misuse("--names is for $LISTEN_FDS, and --pid for a process: give one of them")
        }
        if words.count > 3 {
            throw misuse("a socket is a protocol and an address with port, such as tcp 127.0.0.1:8080")
        }
        if words.count > 1, target.pid == nil { throw misuse("whose socket? give --pid PID") }
        if all || follow || wait != 0, target.pid == nil {
            throw misuse("--all, --follow and --wait are for a running program: give --pid PID")
        }
        if !(0...3600).contains(wait) { throw misuse("--wait is 0 to 3,600 seconds") }
    }

    func run() throws {
        if let pid = target.pid {
            let label = try label(words[0])
            let selectors = try selector().map { [$0] } ?? []
            let steering = try target.open(for: .changing)
            let policy = try steering.policy
            let part = SocketFollower.Part(label, selectors, destinations: policy.destinations(of: label))
            let program = RegisteredProgram(
                pid, part, steering.sockets, isOne: !all, isReplacing: replace, patience: .seconds(wait))
            let (stays, isJSON, place) = (follow, target.json, try target.place())
            let doctor = Doctor(try target.namespace(), bpffs: target.bpffs)
            try target.namespace().run { () throws(SteeringError) in
                var follower = program.follower()
                let registered = try program.register(&follower)
                RegisterReport(registered, of: follower.registered.count, steering, at: place).show(isJSON: isJSON)
                Remarks.say(program.answers(follower, by: doctor, in: steering), asJSON: isJSON)
                guard stays else { return }
                try Terminal.finish()
                try program.follow(&follower)
            }
        } else {
            let sockets = try activated()
            let steering = try target.open(for: .changing)
            let doctor = Doctor(try target.namespace(), bpffs: target.bpffs)
            let place = try target.place()
            let registered = try steering.sockets.register(sockets, replacing: replace)
            RegisterReport(registered, of: sockets.count, steering, at: place).show(isJSON: target.json)
            Remarks.say(doctor.answers(of: sockets.map(\.descriptor), registeredIn: steering), asJSON: target.json)
        }
    }

    private func selector() throws -> SocketSelector? {
        guard words.count > 1 else { return nil }
        let transport = try transport(words[1])
        guard words.count > 2 else { return SocketSelector(transport) }
        return try parsed { try SocketSelector(transport, place: words[2]) }
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
        abstract: "Unregister a label's sockets.",
        discussion: """
            Until others are registered, the label has no socket: its packets are refused or passed, depending on \
            its options. The sockets stay open, and their connections go on.

              steer unregister web
              steer unregister web --cookie 1a2b
            """)

    @Argument(help: "The label.", completion: .label)
    var label: String

    @Option(help: ArgumentHelp("Only this one, by its cookie as `steer sockets` shows it.", valueName: "hex"))
    var cookie: String?

    @OptionGroup var target: Target

    private struct Report: Encodable {
        let unregistered: [RegisterReport.Socket]
    }

    func run() throws {
        let label = try steer.label(label)
        let steering = try target.open(for: .changing)
        let former = try steering.sockets.list()
        if let cookie {
            guard let registered = former.first(where: { $0.cookie.description == cookie }) else {
                throw SteeringError(
                    .socketNotRegistered,
                    "no registered socket has the cookie \(cookie.debugDescription): `\(try target.place().command(["sockets"]))` lists them"
                )
            }
            try steering.sockets.unregister(registered.cookie, from: label)
        } else {
            try steering.sockets.unregister(label)
        }
        if target.json {
            let meant = former.filter {
                $0.destination.label == label && [nil, $0.cookie.description].contains(cookie)
            }
            print(JSON.text(Report(unregistered: RegisterReport.Socket.each(of: meant))))
        }
    }
}
