import CommandSupport
import Foundation
import ServiceSupport
import Steering

/// A running program whose sockets are registered for a label, in the network namespace of the calling thread.
struct RegisteredProgram: Sendable {
    private let pid: Int32
    private let part: SocketFollower.Part
    private let sockets: SockMap
    private let isOne: Bool
    private let isReplacing: Bool
    private let patience: Duration

    init(
        _ pid: Int32, _ part: SocketFollower.Part, _ sockets: SockMap, isOne: Bool, isReplacing: Bool,
        patience: Duration
    ) {
        self.pid = pid
        self.part = part
        self.sockets = sockets
        self.isOne = isOne
        self.isReplacing = isReplacing
        self.patience = patience
    }

    func follower() -> SocketFollower { SocketFollower(pid, [part], sockets) { Steer.printError($0) } }

    /// Registers the sockets on which the program listens, and waits for them up to `patience`.
    ///
    /// - Returns: The sockets; nil if they are registered but cannot be listed.
    func register(_ follower: inout SocketFollower) throws(SteeringError) -> [RegisteredSocket]? {
        let begin = ContinuousClock.now
        var known: [SocketFollower.Choice] = []
        while true {
            let isPatient = patience > .zero && .now - begin < patience
            var choices: [SocketFollower.Choice] = []
            do throws(SteeringError) { choices = try follower.choices(one: isOne) } catch {
                // It may yet open those of the protocol that is needed.
                guard isPatient, error.code == .socketNotFound else { throw error }
            }
            // Programs may open sockets one by one: assume that all are open if a second look finds the same ones.
            if !choices.isEmpty, choices == known || !isPatient, try follower.register(replacing: isReplacing) {
                let own = follower.registered
                return (try? sockets.list())?.filter {
                    own.contains($0.cookie) && $0.destination.label == part.label
                }
            }
            // Throws an error that lists the sockets the program has instead.
            if choices.isEmpty, !isPatient { try explainMissing() }
            known = choices
            Thread.sleep(forTimeInterval: 0.05)
            if patience > .zero { _ = try ChildProcess.running(pid) }
        }
    }

    private func explainMissing() throws(SteeringError) {
        var failure: SteeringError?
        for selector in part.selectors.isEmpty ? [SocketSelector()] : part.selectors {
            do throws(SteeringError) { _ = try ProcessSocket.sockets(of: pid, matching: selector) } catch {
                failure = error
            }
        }
        if let failure { throw failure }
    }

    /// Returns the doctor's findings about replies from the registered sockets.
    func answers(
        _ follower: borrowing SocketFollower, by doctor: borrowing Doctor, in steering: SocketSteering
    ) -> [Finding] {
        let own = follower.registered
        let holders = (try? follower.holders()) ?? []
        let sockets = holders.flatMap { (try? ProcessSocket.sockets(of: $0)) ?? [] }.filter {
            own.contains($0.cookie)
        }
        defer { withExtendedLifetime(sockets) {} }
        return doctor.answers(of: sockets.map { $0.socket.rawValue }, registeredIn: steering)
    }

    /// Keeps the registered sockets equal to those on which the program listens, until it ends.
    func follow(_ follower: inout SocketFollower) throws(SteeringError) {
        ServiceManager()?.notify("READY=1")
        var process = try ChildProcess.running(pid)
        var poll = try EventPoll()
        try poll.watch(process.descriptor.rawValue)
        var trouble = ""
        while true {
            do throws(SteeringError) {
                // Also throws if the steering is no longer loaded.
                if !follower.registered.isEmpty { _ = try sockets.list() }
                try follower.turn()
            } catch {
                guard error.code == .busy || error.code == .systemCall else { throw error }
                if error.message != trouble { Steer.printError(error.message) }
                trouble = error.message
            }
            _ = try poll.wait(follower.pause)
            guard process.hasEnded else { continue }
            let holders = try follower.holders()
            guard let heir = holders.first else { return }
            follower.adopt(holders)
            poll.forget(process.descriptor.rawValue)
            process = try .running(heir)
            try poll.watch(process.descriptor.rawValue)
        }
    }
}
