import ArgumentParser
import CommandSupport
import Foundation
import Logging
import PolicyFiles
import ServiceSupport
import Steering

@main
struct Steerd: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "steerd",
        abstract: "The socket activation service: registers sockets of unprivileged services, and holds them.",
        discussion: """
            Puts the policy file in force, loading first if nothing is loaded, gives up all capabilities, and \
            listens. Services send their sockets with a label, and get its packets. A duplicate of each socket is \
            kept, so that it outlives its service: the next instance claims it, or registers its own in its place.

            A label's allow in the policy file lists who may use it; root and the user that steerd runs as always may.

              labels:
                web: { allow: { users: [www-data], groups: [web] } }

            A label's start is the command to run when a connection waits in a held socket and no process serves it:

              labels:
                web: { allow: { users: www-data }, start: { command: /usr/bin/web --quiet, user: www-data } }

            SIGHUP makes steerd read the file again, SIGTERM and SIGINT end it. Sockets stay registered as long as \
            their service runs: traffic does not need steerd. docs/protocol.md describes the protocol.
            """, version: "steerd \(CommandWords.version)")

    @Option(
        help: ArgumentHelp("The policy file.", valueName: "file"),
        completion: .file(extensions: ["yaml", "yml", "json"]))
    var policy: String

    @Option(help: ArgumentHelp("Where to listen, unless the service manager passes a socket.", valueName: "path"))
    var socket = SteeringClient.defaultPath

    @Option(help: ArgumentHelp("Where the BPF file system is mounted.", valueName: "path"), completion: .directory)
    var bpffs = SocketSteering.defaultBPFFS

    @Option(
        help: ArgumentHelp(
            "The group that may read what is loaded, besides root: its name or number.", valueName: "group"))
    var readers: String?

    /// Not async: that would start threads, and capabilities are per thread.
    static func main() {
        do {
            try runAsRoot()
        } catch let error as SteeringError {
            fail(error)
        } catch {
            end(with: error)
        }
    }

    func run() throws {
        // Writing to a log whose reader has gone must not end the process.
        signal(SIGPIPE, SIG_IGN)
        // A SIGHUP during the start is handled once steerd serves; until then, other signals end it at once.
        _ = BlockedSignals([SIGHUP])
        let start = try Start(policy: policy, socket: socket, bpffs: bpffs, readers: readers)
        let control: Control
        do throws(SteeringError) {
            try Capabilities.dropAll(except: HostFacts.capabilitiesToRegister())
            control = try Control()
        } catch {
            throw SteeringError.cannotServe(error)
        }
        JournalLogHandler.bootstrap()

        // Before another thread starts, which would receive them.
        let signals = BlockedSignals()
        let service = ActivationService(start: start, control: control, logger: Logger(label: "steerd"))
        do throws(SteeringError) {
            try SystemThread.start {
                do throws(SteeringError) {
                    try service.run()
                    Foundation.exit(0)
                } catch {
                    Self.fail(error)
                }
            }
        } catch {
            throw SteeringError.cannotServe(error)
        }
        while true { service.control.give(signals.wait() == SIGHUP ? .reload : .stop) }
    }

    private static func fail(_ error: SteeringError) -> Never {
        printError(error.messageWithLog)
        Foundation.exit(1)
    }
}

/// Serves until it is ordered to stop.
struct ActivationService: Sendable {
    let start: Start
    let control: Control
    let logger: Logger

    func run() throws(SteeringError) {
        let (keeper, loop): (SocketKeeper, ConnectionLoop)
        do throws(SteeringError) { (keeper, loop) = try prepare() } catch { throw .cannotServe(error) }
        // Another process was changing the steering: the file may be right.
        if start.problem?.code == .busy { try? keeper.reloadEventually() }
        try loop.run()
        logger.info("stopped", metadata: ["held": "\(keeper.count)"])
    }

    private func prepare() throws(SteeringError) -> (SocketKeeper, ConnectionLoop) {
        let manager = Notifier()
        let onDemand = try start.starter.map { starter throws(SteeringError) in
            try OnDemand(starter.connection, labels: starter.labels, manager, logger)
        }
        let state = ServiceState(start, manager, logger)
        let deputy = try Deputy(start.attendants)
        let keeper = SocketKeeper(
            start.steering, deputy, Authority(start.service), policyFile: start.policyFile, start.limits, manager,
            onDemand,
            state, logger)
        keeper.restore(start.stored.take())
        let reception = try Reception(start.attendants, start.bin, logger)
        let loop = try ConnectionLoop(
            start.listener, control, keeper, reception, deputy, manager, onDemand, logger)
        state.serve(start.service)
        return (keeper, loop)
    }
}

extension SteeringError {
    /// The error for a start that fails after it has put the policy in force.
    fileprivate static func cannotServe(_ error: SteeringError) -> SteeringError {
        SteeringError(
            error.code, "the policy is in force, but steerd cannot serve: \(error.message)", cause: error.cause)
    }
}
