import Logging
import PolicyFiles
import Steering

/// How steerd is: which policy it serves by, and whether that is in force. It says so in the log when it changes, and to
/// the service manager, whose `systemctl status` shows it.
final class ServiceState {
    private let policyFile: String
    private let steering: SocketSteering
    private let manager: ServiceManager?
    private let logger: Logger
    /// Why the policy file is not what is in force; nil where it is.
    private var problem: SteeringError?
    private var bindings: Int
    /// What is attached; nil where nothing is.
    private var attachment: UInt32?
    private var nextLook = ContinuousClock.now

    /// How often it looks whether somebody has taken away what is loaded.
    static let interval = Duration.seconds(2)

    init(_ start: Start, _ manager: ServiceManager?, _ logger: Logger) {
        policyFile = start.policyFile
        steering = start.steering
        problem = start.problem
        bindings = start.service.policy.count
        self.manager = manager
        self.logger = logger
        attachment = try? steering.attachment()
    }

    /// It begins to serve.
    func serve(_ service: ServicePolicy) {
        if let problem {
            logger.error(
                "the policy file is wrong: serving by the policy in force, and starting nothing, until it is mended and reloaded",
                metadata: ["code": "\(problem.code)", "message": "\(problem.message)"])
        } else {
            manager?.store(allowancesOf: service)
        }
        remark(on: service.policy)
        logger.info("serving", metadata: ["bindings": "\(bindings)"])
    }

    /// The policy file was read, and is in force.
    func reloaded(_ service: ServicePolicy) {
        problem = nil
        bindings = service.policy.count
        attachment = try? steering.attachment()
        manager?.store(allowancesOf: service)
        manager?.notify("STATUS=\(text)")
        remark(on: service.policy)
    }

    /// Logs what `steer apply` prints about a policy that is in force all the same, such as an interface that is absent.
    private func remark(on policy: Policy) {
        guard let namespace = try? NetworkNamespace.current() else { return }
        for finding in Doctor(namespace).remarks(on: policy)
        where finding.severity > .note && finding.subject != "clients" {
            logger.warning("\(finding.message)", metadata: ["subject": "\(finding.subject)"])
        }
    }

    /// The policy file was read, and is wrong: what was in force still is.
    func failed(_ error: SteeringError) {
        problem = error
        manager?.notify("STATUS=\(text)")
    }

    /// Looks whether what was loaded still is. Who unloads it, and loads again, takes all registrations away.
    ///
    /// - Returns: Whether another steering has taken its place: sockets are to be registered anew.
    func isReplaced() -> Bool {
        guard nextLook <= .now else { return false }
        nextLook = .now + Self.interval
        let former = attachment
        do throws(SteeringError) {
            let now = try steering.attachment()
            // Who loads, binds afterwards: a label is not there before.
            if now != former, try steering.policy.isEmpty { return false }
            attachment = now
        } catch {
            guard former != nil, error.code == .notLoaded else { return false }
            attachment = nil
            logger.error(
                "nothing is steered any more: somebody has unloaded the steering; systemctl reload steerd, or steer apply --load, loads it again"
            )
        }
        guard attachment != former else { return false }
        manager?.notify("STATUS=\(text)")
        return attachment != nil
    }

    /// In a line.
    var text: String {
        if attachment == nil { return "nothing is steered: the steering was unloaded" }
        guard let problem else { return "serving by \(policyFile), \(bindings) bindings" }
        let message = problem.message.split(separator: "\n").joined(separator: " ")
        return "serving by the policy in force; \(policyFile) is not: \(message)"
    }
}
