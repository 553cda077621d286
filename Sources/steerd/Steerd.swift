import ArgumentParser
import Commands
import Foundation
import Logging
import PolicyFiles
import ServiceLifecycle
import Steering
import UnixSignals

@main
struct Steerd: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "steerd",
        abstract: "The socket activation service: registers sockets of unprivileged services, and holds them.",
        discussion: """
            It puts the policy file in force, loading first where nothing is loaded, gives up all capabilities, and \
            listens: services hand over their sockets with a label, and are steered to. A duplicate of each socket is \
            kept, so that it outlives its service: the next instance claims it, or registers its own in its place.

            Who may use a label, its allow in the policy file says: root and the user that steerd runs as always.

              labels:
                web: { allow: { users: [www-data], groups: [web] } }

            What starts a label's service when a connection waits in a held socket and nobody serves, its start says:

              labels:
                web: { allow: { users: www-data }, start: { command: /usr/bin/web --quiet, user: www-data } }

            SIGHUP reads the file again, SIGTERM and SIGINT end it. What it has registered stays registered as long as \
            its service lives: traffic does not need steerd. docs/protocol.md tells what it speaks.
            """, version: "steerd \(CommandWords.version)")

    @Option(
        help: ArgumentHelp("The policy file.", valueName: "file"),
        completion: .file(extensions: ["yaml", "yml", "json"]))
    var policy: String

    @Option(help: ArgumentHelp("Where to listen, unless the service manager passes a socket.", valueName: "path"))
    var socket = SteeringClient.defaultPath

    @Option(help: ArgumentHelp("Where the BPF file system is mounted.", valueName: "path"), completion: .directory)
    var bpffs = SocketSteering.defaultBPFFS

    /// Not an async one: that starts threads, and capabilities are a thread's own.
    static func main() {
        do {
            try CommandWords.check(for: Self.self)
            var command = try parseAsRoot(CommandWords.all)
            try command.run()
        } catch let error as SteeringError {
            complain(error)
        } catch {
            exit(withError: error)
        }
    }

    func run() throws {
        // Until it is waited for, SIGHUP would end the process; and so would a log that nobody reads any more.
        for number in [SIGHUP, SIGPIPE] { signal(number, SIG_IGN) }
        let start = try Start(policy: policy, socket: socket, bpffs: bpffs)
        try Capabilities.keep([])

        let logger = Logger(label: "steerd")
        let service = ActivationService(start: start, control: try Control(), logger: logger)
        Task {
            do {
                // Before it is said to be ready: the service manager may ask it to reload at once.
                let hangups = await UnixSignalsSequence(trapping: .sighup)
                let services: [ServiceGroupConfiguration.ServiceConfiguration] = [
                    .init(service: service, successTerminationBehavior: .gracefullyShutdownGroup),
                    .init(service: ReloadService(hangups: hangups, control: service.control)),
                ]
                let group = ServiceGroup(
                    configuration: .init(
                        services: services, gracefulShutdownSignals: [.sigterm, .sigint], logger: logger))
                try await group.run()
                Foundation.exit(0)
            } catch {
                Self.complain(error)
            }
        }
        while true { pause() }
    }

    private static func complain(_ error: any Error) -> Never {
        FileHandle.standardError.write(Data("steerd: \(error)\n".utf8))
        Foundation.exit(1)
    }
}

/// Tells the one that serves to reload, at each SIGHUP.
struct ReloadService: Service {
    let hangups: UnixSignalsSequence
    let control: Control

    func run() async throws {
        for await _ in hangups.cancelOnGracefulShutdown() { control.give(.reload) }
    }
}

/// Serves on a thread of its own, until it is told to stop.
struct ActivationService: Service {
    let start: Start
    let control: Control
    let logger: Logger

    func run() async throws {
        try await withTaskCancellationOrGracefulShutdownHandler {
            try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
                Thread.detachNewThread { continuation.resume(with: Result { try serve() }) }
            }
        } onCancelOrGracefulShutdown: {
            control.give(.stop)
        }
    }

    private func serve() throws(SteeringError) {
        let manager = ServiceManager()
        let onDemand = try start.starter.map { starter throws(SteeringError) in
            try OnDemand(starter.connection, labels: starter.labels, manager, logger)
        }
        let keeper = SocketKeeper(
            start.steering, Authority(start.service), policyFile: start.policyFile, start.limits, manager, onDemand,
            logger)
        keeper.restore(start.stored.take())
        let loop = try ConnectionLoop(start.listener, control, keeper, manager, onDemand, start.limits, logger)
        logger.info("serving", metadata: ["bindings": "\(start.service.policy.count)"])
        try loop.run()
        logger.info("stopped", metadata: ["held": "\(keeper.count)"])
    }
}
