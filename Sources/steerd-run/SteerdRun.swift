import ArgumentParser
import Commands
import Glibc
import Steering

@main
struct SteerdRun: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "steerd-run",
        abstract: "Run a program that knows nothing of steerd, and hand its sockets over.",
        usage: "steerd-run LABEL [<options>] -- COMMAND ...",
        discussion: """
            Without --listen the command runs in the foreground, and opens its sockets itself: they are taken as soon \
            as it listens, registered as the label in place of those that it has, and taken out when the command \
            ends. Signals are passed on, and its exit code is this program's. Needs no privilege: the command is of \
            the same user.

              steerd-run web -- nginx -g 'daemon off;'
              steerd-run cache --only tcp:127.0.0.1:6379 -- redis-server --port 6379

            With --listen the sockets are those that steerd holds, or they are made and registered, and the command \
            runs in this program's place with them as its descriptors 3 and on ($LISTEN_FDS, see sd_listen_fds(3); with --nginx as \
            nginx takes them). They outlive it: while it is restarted, connections wait.

              steerd-run web --nginx --listen tcp:127.0.0.1:8080 -- nginx -g 'daemon off;'
              steerd-run web --listen tcp:127.0.0.1:0 --listen udp:127.0.0.1:0 -- /usr/bin/web

            Exit codes: the command's, 128 and the number of the signal that ended it, 127 when it cannot be run; 1 \
            when its sockets cannot be handed over, which ends it; 64 when the command line is not one.
            """, version: "steerd-run \(CommandWords.version)")

    @Argument(help: "The label, which the policy file must allow to this user.")
    var label: String

    @Option(
        help: ArgumentHelp(
            "Listen here, and pass the socket: tcp:ADDRESS:PORT or udp:ADDRESS:PORT. Can be repeated.",
            valueName: "socket"))
    var listen: [String] = []

    @Flag(help: "Pass the sockets as nginx takes them: $NGINX, and non-blocking. It must listen at the same addresses.")
    var nginx = false

    @Option(help: ArgumentHelp("Of the command's sockets take only the one that is bound here.", valueName: "socket"))
    var only: String?

    @Flag(
        help:
            "Give up first what steerd holds for the label, as a killed command has left it: it is in the way of binding."
    )
    var fresh = false

    @Option(help: ArgumentHelp("How long the command may take to listen.", valueName: "seconds"))
    var wait = 30.0

    @Option(help: ArgumentHelp("Where steerd listens.", valueName: "path"))
    var steerd = SteeringClient.defaultPath

    @Argument(parsing: .postTerminator, help: "The command, which must stay in the foreground.")
    var command: [String] = []

    func validate() throws {
        guard !command.isEmpty else { throw ValidationError("which command? steerd-run LABEL -- COMMAND ...") }
        guard listen.isEmpty || only == nil && !fresh else {
            throw ValidationError(
                "--only and --fresh are about the command's own sockets, and --listen passes it others")
        }
        guard !nginx || !listen.isEmpty else {
            throw ValidationError("--nginx passes nginx what --listen names: give that, or leave it out")
        }
        guard (0.1...3600).contains(wait) else { throw ValidationError("--wait is 0.1 to 3,600 seconds") }
    }

    static func main() {
        do {
            try CommandWords.check(for: Self.self)
            var command = try parseAsRoot(CommandWords.all)
            try command.run()
        } catch let error as SteeringError {
            complain(error.message)
            Glibc.exit(error.code == .programUnavailable ? 127 : 1)
        } catch  where exitCode(for: error) == .validationFailure {
            complain(message(for: error))
            Glibc.exit(64)
        } catch {
            exit(withError: error)
        }
    }

    func run() throws {
        let label: Label
        do throws(SteeringError) { label = try Label(self.label) } catch { throw ValidationError(error.message) }
        let client = SteeringClient(steerd)
        if listen.isEmpty {
            let selector = try only.map { try Place($0) }.map { SocketSelector($0.transport, $0.address) }
            let service = WrappedService(label, client, command, selector, patience: .seconds(wait), isFresh: fresh)
            Glibc.exit(try service.run())
        }
        throw PassedSockets(label, client, try listen.map { try Place($0) }, isForNginx: nginx).become(command)
    }
}

/// Where a socket is bound, as the command line has it: `tcp:127.0.0.1:80`.
struct Place {
    let transport: TransportProtocol
    let address: SocketAddress

    init(_ text: String) throws {
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, let transport = TransportProtocol.allCases.first(where: { $0.description == parts[0] })
        else {
            throw ValidationError("\(text.debugDescription) is no socket: give one such as tcp:127.0.0.1:8080")
        }
        self.transport = transport
        do throws(AddressError) { address = try SocketAddress(parts[1]) } catch { throw ValidationError("\(error)") }
    }
}

/// A sentence for people, on standard error.
func complain(_ sentence: String) {
    let bytes = Array("steerd-run: \(sentence)\n".utf8)
    _ = write(STDERR_FILENO, bytes, bytes.count)
}
