import ArgumentParser
import CommandSupport
import Glibc
import Steering

@main
struct SteerdRun: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "steerd-run",
        abstract: "Run a program that does not support steerd, and register its sockets.",
        usage: """
            steerd-run LABEL[=SOCKET,...] ... [<options>] -- COMMAND ...
            steerd-run --listen LABEL=SOCKET ... [<options>] -- COMMAND ...
            """,
        discussion: """
            Without --listen the command runs in the foreground, and opens its sockets itself. They are registered as \
            soon as it listens, in place of those that the label has, and followed while it runs: sockets that it \
            opens on a reload are registered, and closed ones unregistered. If it closes a socket before it opens the \
            next, clients wait. Signals are passed on, and its exit code is this program's. Needs no privilege: the \
            command runs as the same user.

              steerd-run web -- nginx -g 'daemon off;'
              steerd-run cache=tcp:127.0.0.1:6379 -- redis-server --port 6379
              steerd-run web=:80 tls=:443 -- caddy run

            SOCKET selects those of the command's sockets that the label gets: by port (:443), bound address \
            (tcp:127.0.0.1:6379), or protocol (udp). A label has one socket, or one SO_REUSEPORT group, of each \
            protocol and family.

            With --listen the sockets are those that steerd holds, or new ones, which are registered. The command \
            replaces this program, and gets them as its descriptors from 3 on ($LISTEN_FDS, see sd_listen_fds(3); \
            with --nginx as nginx takes them). They outlive it: while it restarts, connections wait. [::] receives \
            IPv4, too, unless IPv4 has a socket of its own.

              steerd-run web --nginx --listen tcp:127.0.0.1:8080 -- nginx -g 'daemon off;'
              steerd-run --listen web=tcp:127.0.0.1:8080 --listen tls=tcp:127.0.0.1:8443 -- /usr/bin/web

            Exit codes: the command's; 128 plus the number of the signal that ended it; 127 if it cannot be run; 1 \
            if its sockets cannot be registered, in which case it is ended; 64 for a usage error.
            """, version: "steerd-run \(CommandWords.version)")

    @Argument(
        help: ArgumentHelp(
            "A label that the policy file allows this user to use, and the command's sockets that belong to it; with several labels give each its sockets.",
            valueName: "label[=socket,...]"))
    var labels: [String] = []

    @Option(
        help: ArgumentHelp(
            "Listen here, and pass the socket: tcp:ADDRESS:PORT or udp:ADDRESS:PORT, with several labels after LABEL=. Can be repeated.",
            valueName: "[label=]socket"))
    var listen: [String] = []

    @Flag(help: "Pass the sockets as nginx takes them: $NGINX, and non-blocking. It must listen at the same addresses.")
    var nginx = false

    @Flag(
        help:
            "First release the sockets that steerd still holds for the label from an earlier --listen, except those that --listen names."
    )
    var fresh = false

    @Option(help: ArgumentHelp("How long the command may take to listen.", valueName: "seconds"))
    var wait = 30.0

    @Option(help: ArgumentHelp("Where steerd listens.", valueName: "path"))
    var steerd = SteeringClient.defaultPath

    /// The command line, split at the first `--`: this program's arguments, and the command.
    private static let words = CommandWords.all.split(
        separator: "--", maxSplits: 1, omittingEmptySubsequences: false
    ).map(Array.init)
    private var command: [String] { Self.words.count > 1 ? Self.words[1] : [] }

    func validate() throws {
        guard !command.isEmpty else { throw ValidationError("which command? steerd-run LABEL -- COMMAND ...") }
        guard !nginx || !listen.isEmpty else {
            throw ValidationError("--nginx is for the sockets of --listen: give that, too, or leave --nginx out")
        }
        guard (0.1...3600).contains(wait) else { throw ValidationError("--wait is 0.1 to 3,600 seconds") }
        _ = listen.isEmpty ? try wrapped().count : try passed().count
    }

    static func main() {
        do {
            try runAsRoot(words[0])
        } catch let error as SteeringError {
            printError(error.message)
            Glibc.exit(error.code == .programUnavailable ? 127 : 1)
        } catch  where exitCode(for: error) == .validationFailure {
            printError(message(for: error))
            Glibc.exit(64)
        } catch {
            end(with: error)
        }
    }

    /// Prints a remark, which does not end the program.
    static func note(_ sentence: String) { printError(sentence, .notice) }

    func run() throws {
        let client = SteeringClient(steerd)
        if listen.isEmpty {
            let service = WrappedService(
                client, SteeringClient(steerd, patience: .seconds(2)), command, try wrapped(), patience: .seconds(wait),
                isFresh: fresh)
            Glibc.exit(try service.run())
        }
        throw PassedSockets(client, try passed(), isForNginx: nginx, isFresh: fresh).become(command)
    }

    /// Returns the labels, with the command's sockets that belong to each.
    private func wrapped() throws -> [SocketFollower.Part] {
        let words = try labels.map { try LabelWord($0) }
        guard !words.isEmpty else { throw ValidationError("which label? steerd-run LABEL -- COMMAND ...") }
        if let repeated = words.map(\.label).firstRepeated {
            throw ValidationError(
                "\(repeated) is given twice: name all of its sockets at once, as in \(repeated)=:80,:443")
        }
        if words.count > 1, let vague = words.first(where: { $0.selectors.isEmpty }) {
            throw ValidationError(
                "which of the command's sockets are for \(vague.label)? With several labels give each its own, as in \(vague.label)=:80"
            )
        }
        return words.map { SocketFollower.Part($0.label, $0.selectors) }
    }

    /// Returns the labels, with the places where their sockets are to be.
    private func passed() throws -> [(label: Label, places: [Place])] {
        let words = try labels.map { try LabelWord($0) }
        guard words.count <= 1, words.allSatisfy({ $0.selectors.isEmpty }) else {
            throw ValidationError(
                "with --listen give the labels before their sockets: --listen \(words[0].label)=tcp:127.0.0.1:8080")
        }
        var passed: [(label: Label, places: [Place])] = []
        for place in try listen.map({ try Place($0) }) {
            guard let label = place.label ?? words.first?.label else {
                throw ValidationError(
                    "which label is \(place.transport) \(place.address) for? Give LABEL=\(place.transport):\(place.address), or one label for all"
                )
            }
            guard let index = passed.firstIndex(where: { $0.label == label }) else {
                passed.append((label, [place]))
                continue
            }
            if let former = passed[index].places.first(where: { $0.isOfKind(of: place) }) {
                throw ValidationError(
                    "\(label) can have one \(place.transport) socket of \(place.address.address.family), but is given \(former.address) and \(place.address): give one of them another label"
                )
            }
            passed[index].places.append(place)
        }
        if let word = words.first, !passed.contains(where: { $0.label == word.label }) {
            throw ValidationError("no --listen is for \(word.label): leave it out, or give it one")
        }
        return passed
    }
}

extension Place {
    /// Whether a label cannot have sockets at both places.
    fileprivate func isOfKind(of other: Place) -> Bool {
        transport == other.transport && address.address.family == other.address.address.family
    }
}

extension [Label] {
    fileprivate var firstRepeated: Label? {
        var seen: Set<Label> = []
        return first { !seen.insert($0).inserted }
    }
}
