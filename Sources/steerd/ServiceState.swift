import Logging
import PolicyFiles
import Steering

/// The state of the service: the policy by which it serves, and whether that is the policy file's. Changes are logged,
/// and reported to the service manager for `systemctl status`.
final class ServiceState {
    private let policyFile: String
    private let steering: SocketSteering
    private let manager: Notifier?
    private let logger: Logger
    /// The reason why the policy file is not in force; nil if it is.
    private var problem: SteeringError?
    private var bindings: Int
    /// The number of the attached link; nil if nothing is attached.
    private var attachment: UInt32?
    private var nextLook = ContinuousClock.now

    /// How often to check whether the steering has been unloaded.
    static let interval = Duration.seconds(2)

    init(_ start: Start, _ manager: Notifier?, _ logger: Logger) {
        policyFile = start.policyFile
        steering = start.steering
        problem = start.problem
        bindings = start.service.policy.count
        self.manager = manager
        self.logger = logger
        attachment = try? steering.attachment()
    }

    /// Logs the start, and stores the allowances of the policy file if that is in force.
    func serve(_ service: ServicePolicy) {
        if let problem {
            logger.error(
                "the policy file is invalid: serving by the policy in force, without starting services, until it is fixed and reloaded",
                metadata: ["code": "\(problem.code)", "message": "\(problem.message)"])
        } else {
            manager?.store(allowancesOf: service)
        }
        remark(on: service.policy)
        logger.info("serving", metadata: ["bindings": "\(bindings)"])
    }

    /// Records that the policy file was read and is in force.
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

    /// Records that the policy file could not be applied; the policy in force stays.
    func failed(_ error: SteeringError) {
        problem = error
        manager?.notify("STATUS=\(text)")
    }

    /// Checks whether the steering is still loaded. Unloading it and loading another removes all registrations.
    ///
    /// - Returns: Whether another steering has replaced it, so that sockets must be registered again.
    func isReplaced() -> Bool {
        guard nextLook <= .now else { return false }
        nextLook = .now + Self.interval
        let former = attachment
        do throws(SteeringError) {
            let now = try steering.attachment()
            // A steering has no labels until a policy is applied, which follows the load.
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

    /// The state in one line.
    var text: String {
        if attachment == nil { return "nothing is steered: the steering was unloaded" }
        guard let problem else { return "serving by \(policyFile), \(bindings) bindings" }
        let message = problem.message.split(separator: "\n").joined(separator: " ")
        return "serving by the policy in force; \(policyFile) is invalid: \(message)"
    }
}
