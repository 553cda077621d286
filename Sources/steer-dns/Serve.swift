import AddressPools
import ArgumentParser
import CommandSupport
import Foundation
import Logging
import SteeringDNS

/// `steer-dns serve`.
struct Serve: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Answer DNS queries over UDP and TCP.",
        discussion: """
            SIGHUP, or a change of the policy file or of a prefix or zone file that it names, reloads the policy. If \
            it has errors, they are logged, and the old policy stays in force. Lists of names are not watched. SIGTERM \
            and SIGINT stop the server after it has answered the queries already received. Sockets passed by a service \
            manager or steerd-run replace --listen; with steering, they answer on whole prefixes.
            """)

    @OptionGroup var policy: PolicyOptions

    @Option(help: ArgumentHelp("The address to listen on, UDP and TCP; may be repeated.", valueName: "address:port"))
    var listen: [String] = []

    @Flag(
        help: """
            Answer from the address that the query was sent to, even if the socket is bound to another. Needed if a \
            socket bound to a non-loopback address is steered to. The default for passed sockets, and for those bound \
            to a loopback or the unspecified address.
            """)
    var anyAddress = false

    @Option(help: "The number of threads that answer UDP; by default one per processor.")
    var workers: Int?

    @Option(help: ArgumentHelp("The user to run as once the sockets are bound.", valueName: "name"))
    var user: String?

    @Option(help: ArgumentHelp("The address to serve Prometheus metrics on, over HTTP.", valueName: "address:port"))
    var metrics: String?

    @Flag(help: "Count answers per address, in pools of at most 65536 addresses.")
    var countAddresses = false

    @Option(help: ArgumentHelp("The text for NSID and id.server; without it, neither is answered.", valueName: "text"))
    var identifier: String?

    @Option(help: ArgumentHelp("The text for version.bind; without it, that is refused.", valueName: "text"))
    var version: String?

    @Option(
        help: ArgumentHelp(
            "A file with the DNS cookie secret, 32 hexadecimal digits; the same on all servers of an address.",
            valueName: "file"))
    var cookieSecret: String?

    @Flag(help: "Do not limit UDP answers to clients without a cookie.")
    var noResponseLimit = false

    @Option(
        help: ArgumentHelp(
            "The most UDP answers per second to clients without a cookie, per worker and /24 or /56; 0 for no limit.",
            valueName: "n"))
    var responseRate: UInt32 = 0

    @Option(help: ArgumentHelp("How long a TCP connection may be idle.", valueName: "seconds"))
    var tcpIdle = 15

    @Option(
        help: ArgumentHelp(
            "The most TCP connections; a further one replaces the one that has been idle longest.", valueName: "n"))
    var tcpConnections = 1_024

    @Option(
        help: ArgumentHelp(
            "The most TCP connections per client, an IPv4 address or a /56; a further one replaces its longest idle one.",
            valueName: "n"))
    var tcpPerClient = 64

    func validate() throws {
        guard workers.map({ (1...256).contains($0) }) ?? true else {
            throw ValidationError("--workers is a number from 1 to 256")
        }
        guard (1...3_600).contains(tcpIdle) else { throw ValidationError("--tcp-idle is 1 to 3600 seconds") }
        guard (1...100_000).contains(tcpConnections) else {
            throw ValidationError("--tcp-connections is a number from 1 to 100000")
        }
        guard (1...100_000).contains(tcpPerClient) else {
            throw ValidationError("--tcp-per-client is a number from 1 to 100000")
        }
    }

    func run() throws {
        let signals = Signals()
        JournalLogHandler.bootstrap()
        let logger = Logger(label: "steer-dns")
        let options = try responderOptions()
        let sockets = try ServerSockets(
            listen: try listen.map(Self.socketAddress),
            workers: workers ?? ProcessInfo.processInfo.activeProcessorCount, anyAddress: anyAddress)
        let metricsAddress = try metrics.map(Self.socketAddress)
        let room = try Descriptors.room(
            for: tcpConnections, sockets: sockets.datagrams.count + sockets.listeners.count,
            servesCounters: metricsAddress != nil)
        if room < tcpConnections {
            logger.warning(
                "the open files limit has room for \(room) TCP connections, not \(tcpConnections): raise it (LimitNOFILE)"
            )
        }
        for address in sockets.contested {
            logger.warning(
                "another process serves \(address), too, and each gets a part of the queries: stop it, unless it is about to end"
            )
        }
        for address in sockets.awaited {
            logger.warning(
                "\(address.address) is not an address of this machine: queries are answered as soon as it is",
                metadata: ["socket": "\(address)"])
        }
        if let user {
            try Privileges.become(user)
        } else if geteuid() == 0 {
            logger.warning("running as root, which is not needed: give --user, or start as another user")
        }
        let watched = WatchedPolicy(policy.policy), reading = Date.now
        let server = NameServer(try policy.read(), options)
        if let list = server.served.listFromStandardInput {
            throw CommandError(
                "the list \(list) comes from standard input, which a reload cannot read again: write it to a file")
        }
        logger.log(warningsOf: server.served, policy: policy.policy)
        let times = PolicyTimes(server.served.policies, readAt: reading)
        try Service(
            server: server, sockets: sockets, policy: policy, watched: watched, times: times, metrics: metricsAddress,
            limits: StreamLimits(connections: room, perClient: min(room, tcpPerClient), idle: tcpIdle),
            signals: signals,
            logger: logger
        ).run()
    }

    private func responderOptions() throws -> ResponderOptions {
        var options = ResponderOptions()
        options.identifier = identifier.map { Array($0.utf8.prefix(255)) }
        options.version = version.map { Array($0.utf8.prefix(255)) }
        options.limitsResponses = !noResponseLimit
        options.responseRate = responseRate
        options.countsAddresses = countAddresses
        if let cookieSecret { options.cookieSecret = try Self.secret(cookieSecret) }
        return options
    }

    private static func secret(_ path: String) throws -> UInt128 {
        guard let text = try? String(contentsOfFile: path, encoding: .utf8) else {
            throw CommandError("\(path) cannot be read: check its name and permissions")
        }
        let digits = text.trimmingCharacters(in: .whitespacesAndNewlines)
        guard digits.utf8.count == 32, digits.utf8.allSatisfy({ Character(Unicode.Scalar($0)).isHexDigit }),
            let secret = UInt128(digits, radix: 16)
        else {
            throw CommandError(
                "\(path) is not a cookie secret: write 32 hexadecimal digits, as printed by `openssl rand -hex 16`")
        }
        return secret
    }

    static func socketAddress(_ text: String) throws -> SocketAddress {
        try parsed { try SocketAddress(text) }
    }
}
