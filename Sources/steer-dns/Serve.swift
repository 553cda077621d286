import AddressPools
import ArgumentParser
import Foundation
import Journal
import Logging
import SteeringDNS

/// `steer-dns serve`.
struct Serve: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Answer queries by UDP and TCP.",
        discussion: """
            SIGHUP, and a change of the policy file or of a file of prefixes or zones that it names, read it again: \
            what is wrong is said, and the old policy stays in force. Lists of names are not watched. SIGTERM and SIGINT end the server after what has come in is answered. Sockets that a service \
            manager or steerd-run passes are used instead of --listen; steered to, they answer on whole prefixes.
            """)

    @OptionGroup var policy: PolicyOptions

    @Option(help: ArgumentHelp("Where to listen, UDP and TCP; may be repeated.", valueName: "address:port"))
    var listen: [String] = []

    @Flag(
        help: """
            Answer from the address that was asked also where a socket is bound to another: where what is bound to a real \
            address is steered to. Without being told, sockets do that which are passed, or bound to loopback or to any.
            """)
    var anyAddress = false

    @Option(help: "How many threads answer UDP; as many as there are processors unless said.")
    var workers: Int?

    @Option(help: ArgumentHelp("The user to run as once the sockets are bound.", valueName: "name"))
    var user: String?

    @Option(help: ArgumentHelp("Serve the counters for Prometheus over HTTP here.", valueName: "address:port"))
    var metrics: String?

    @Flag(help: "Count each address of pools of at most 65536.")
    var countAddresses = false

    @Option(help: ArgumentHelp("What NSID and id.server say.", valueName: "text"))
    var identifier: String?

    @Option(help: ArgumentHelp("What version.bind says.", valueName: "text"))
    var version: String?

    @Option(
        help: ArgumentHelp(
            "A file with the secret of DNS cookies, 32 hexadecimal digits, the same in all servers of an address.",
            valueName: "file"))
    var cookieSecret: String?

    @Flag(help: "Do not limit answers by UDP to clients without a cookie.")
    var noResponseLimit = false

    @Option(
        help: ArgumentHelp(
            "How many of those a worker sends to a /24 or a /56 a second; 0 for any number.", valueName: "n"))
    var responseRate: UInt32 = 0

    @Option(help: ArgumentHelp("How long a TCP connection may be still.", valueName: "seconds"))
    var tcpIdle = 15

    @Option(help: ArgumentHelp("How many TCP connections there may be; then the stillest goes.", valueName: "n"))
    var tcpConnections = 1_024

    @Option(
        help: ArgumentHelp(
            "How many of them a client may have, an IPv4 address or a /56; then its stillest goes.", valueName: "n"))
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
        let room = Descriptors.room(
            for: tcpConnections, sockets: sockets.datagrams.count + sockets.listeners.count,
            servesCounters: metricsAddress != nil)
        if room < tcpConnections {
            logger.warning(
                "the limit of open files has room for \(room) TCP connections, not \(tcpConnections): raise it (LimitNOFILE)"
            )
        }
        for address in sockets.awaited {
            logger.warning(
                "\(address.address) is no address of this machine: queries are answered as soon as it is",
                metadata: ["socket": "\(address)"])
        }
        if let user {
            try Privileges.become(user)
        } else if geteuid() == 0 {
            logger.warning("running as root, which nothing here needs: give --user, or start as another user")
        }
        let watched = WatchedPolicy(policy.policy), reading = Date.now
        let server = NameServer(try policy.read(), options)
        let times = PolicyTimes(server.serving.policies, readAt: reading)
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
                "\(path) is no secret: write 32 hexadecimal digits, such as `openssl rand -hex 16` prints")
        }
        return secret
    }

    static func socketAddress(_ text: String) throws -> SocketAddress {
        do { return try SocketAddress(text) } catch { throw ValidationError("\(error)") }
    }
}
