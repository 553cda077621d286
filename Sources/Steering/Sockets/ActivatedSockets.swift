import LinuxSockets

/// A file descriptor that the service manager passed to this process.
public struct ActivatedSocket: Sendable, Hashable {
    /// The descriptor, 3 or greater.
    ///
    /// It stays open until the caller closes it.
    public let descriptor: CInt
    /// The name that the service manager gave it (`FileDescriptorName=`); nil if it gave no names.
    ///
    /// Several descriptors may have the same name.
    public let name: String?
}

/// The sockets that a service manager opened before it started this process: systemd's `$LISTEN_FDS` protocol, see
/// sd_listen_fds(3).
public enum ActivatedSockets {
    /// The protocol's variables in the environment of this process.
    public static var environment: [String: String] {
        ListenDescriptors.environment
    }

    /// Returns all passed sockets in their order, and marks them close-on-exec.
    ///
    /// The descriptors are never closed and the variables are left in place, so this can be called again. Whether a
    /// socket can be steered to is checked when it is registered.
    ///
    /// - Parameter environment: The environment with the protocol's variables; others are ignored.
    /// - Returns: At least one socket.
    /// - Throws: `socketNotFound` if there are none, or the variables are for another process; `invalidEnvironment` if
    ///   the variables contradict each other or the open descriptors; `systemCall`.
    public static func all(
        environment: [String: String] = environment
    ) throws(SteeringError) -> [ActivatedSocket] {
        do throws(ListenDescriptors.Failure) {
            return try ListenDescriptors.all(environment: environment).map { ActivatedSocket(descriptor: $0, name: $1) }
        } catch {
            switch error {
            case .nothingPassed(let why): throw .notActivated(why)
            case .invalid(let problem): throw .invalid(problem)
            case .systemCall(let name, let errno): throw .failed(name, errno)
            }
        }
    }
}

extension SteeringError {
    fileprivate static func notActivated(_ why: String) -> SteeringError {
        SteeringError(
            .socketNotFound,
            "no socket was passed to this process: \(why); start it from a .socket unit, or with systemd-socket-activate"
        )
    }

    fileprivate static func invalid(_ problem: String) -> SteeringError {
        SteeringError(
            .invalidEnvironment, "\(problem): unset the LISTEN_ variables, or start the process from a .socket unit")
    }
}
