import Foundation
import Steering

/// A running program whose sockets are registered as a label, in the calling thread's network namespace.
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

    func follower() -> SocketFollower { SocketFollower(pid, [part], sockets) { Terminal.complain("steer: \($0)") } }

    /// Registers what the program listens on, once it does.
    func register(_ follower: inout SocketFollower) throws(SteeringError) -> [RegisteredSocket] {
        let begin = ContinuousClock.now
        var known: [SocketFollower.Choice] = []
        while true {
            let choices = try follower.choices(one: isOne)
            let isPatient = patience > .zero && .now - begin < patience
            // Some open one after the other: what there is twice will be all.
            if !choices.isEmpty, choices == known || !isPatient, try follower.register(replacing: isReplacing) {
                let own = follower.registered
                return try sockets.list().filter { own.contains($0.cookie) && $0.destination.label == part.label }
            }
            // It says what there is instead.
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

    /// What the doctor finds about the answers of the sockets that are registered.
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

    /// Keeps what is registered what the program listens on, until it ends.
    func follow(_ follower: inout SocketFollower) throws(SteeringError) {
        ServiceManager()?.notify("READY=1")
        var process = try ChildProcess.running(pid)
        var poll = try EventPoll()
        try poll.watch(process.descriptor.rawValue)
        var trouble = ""
        while true {
            do throws(SteeringError) {
                // Whether it is loaded still, too.
                if !follower.registered.isEmpty { _ = try sockets.list() }
                try follower.turn()
            } catch {
                guard error.code == .busy || error.code == .systemCall else { throw error }
                if error.message != trouble { Terminal.complain("steer: \(error.message)") }
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
