import CSteering
import Glibc
import Steering
import Testing

/// Whether this process may make network namespaces and load programs.
public enum KernelTests {
    /// CI sets this: then a test that cannot run must fail, not skip.
    public static let areRequired = getenv("STEERING_REQUIRE_KERNEL") != nil

    /// Tried once: the real thing, in a namespace of its own.
    public static let canRun: Bool = {
        let done = ThreadResult<Bool>()
        runOnThread {
            guard csteering_new_netns() == 0 else { return done.finish(false) }
            done.finish((try? SocketSteering.attach()) != nil)
        }
        return done.wait()
    }()
}

/// Containers of users, which need nothing but a kernel and a place that allow them.
public enum UserNamespaces {
    /// What a run needs, where another user may not make one; nil where it may.
    public static let problem: String? = {
        let made = try? Programs.run("setpriv --reuid 65534 --regid 65534 --clear-groups unshare --user true")
        if made?.exitCode == 0 { return nil }
        return "a user may not make a user namespace here: run where that is allowed, so not in a chroot, nor where "
            + "user.max_user_namespaces or kernel.unprivileged_userns_clone is 0 or AppArmor restricts it"
    }()
}

extension Trait where Self == ConditionTrait {
    /// For tests with containers of users: they skip, with the reason, where those are not allowed; where
    /// STEERING_REQUIRE_KERNEL is set they fail with it, by ``requireUserNamespaces()``.
    public static var userNamespaces: Self {
        .enabled(if: KernelTests.areRequired || UserNamespaces.problem == nil, "\(UserNamespaces.problem ?? "")")
    }

    /// For tests that need root: they skip, with the reason, where they cannot run; where
    /// STEERING_REQUIRE_KERNEL is set they run and fail.
    public static var kernel: Self {
        .enabled(
            if: KernelTests.areRequired || KernelTests.canRun,
            "needs CAP_SYS_ADMIN, CAP_BPF, CAP_NET_ADMIN and Linux 5.9: run as root")
    }
}

/// A condition that did not hold inside a namespace, where `#expect` does not know its test.
public struct Unmet: Error, CustomStringConvertible {
    public let description: String
    public init(description: String) { self.description = description }
}

/// Throws where a user may not make a user namespace, and says what a run needs.
public func requireUserNamespaces() throws {
    if let problem = UserNamespaces.problem { throw Unmet(description: problem) }
}

/// Throws when a condition does not hold.
public func verify(
    _ condition: Bool, _ what: @autoclosure () -> String, file: StaticString = #fileID, line: UInt = #line
) throws {
    if !condition { throw Unmet(description: "\(what()) (\(file):\(line))") }
}

/// Throws unless two values are equal.
public func verify<Value: Equatable>(
    _ value: Value, is expected: Value, _ what: @autoclosure () -> String = "", file: StaticString = #fileID,
    line: UInt = #line
) throws {
    if value != expected {
        throw Unmet(description: "\(what()) is \(value), expected \(expected) (\(file):\(line))")
    }
}

/// Throws unless a closure throws a SteeringError of this code; returns the error.
@discardableResult
public func verifyThrows(
    _ code: SteeringError.Code, file: StaticString = #fileID, line: UInt = #line, _ body: () throws -> Void
) throws -> SteeringError {
    do {
        try body()
    } catch let error as SteeringError {
        if error.code == code { return error }
        throw Unmet(description: "threw \(error.code) (\(error)), expected \(code) (\(file):\(line))")
    }
    throw Unmet(description: "did not throw \(code) (\(file):\(line))")
}

/// Runs a closure on a thread of its own in a fresh network namespace, with loopback up and these
/// prefixes routed to the host. The namespace ends when the last socket in it is closed.
///
/// The closure is synchronous and must not touch Swift concurrency.
public func withNetworkNamespace<Result: Sendable>(
    routing prefixes: [String] = [], _ body: @escaping @Sendable () throws -> Result
) async throws -> Result {
    try await withCheckedThrowingContinuation { continuation in
        runOnThread {
            let result = Swift.Result {
                let home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)
                // A thread that resumes a task from elsewhere would hand its namespace on to the pool.
                defer {
                    precondition(csteering_enter_netns(home) == 0, "cannot go home")
                    close(home)
                }
                let made = csteering_new_netns()
                try verify(made, is: 0, "unshare(CLONE_NEWNET)")
                try shell("ip link set lo up")
                for prefix in prefixes {
                    try shell("ip \(prefix.contains(":") ? "-6 " : "")route add local \(prefix) dev lo")
                }
                return try body()
            }
            continuation.resume(with: result)
        }
    }
}

/// Runs a closure on a thread of its own in yet another fresh network namespace, with loopback up, and
/// waits. What it opens may be used anywhere; the namespace lives as long as a socket of it.
public func inAnotherNetworkNamespace<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) throws -> Value {
    let done = ThreadResult<Result<Value, any Error>>()
    runOnThread {
        done.finish(
            Result {
                try verify(csteering_new_netns(), is: 0, "unshare(CLONE_NEWNET)")
                try shell("ip link set lo up")
                return try body()
            })
    }
    return try done.wait().get()
}

/// Runs a command in the calling thread's network namespace; throws when it fails.
@discardableResult
public func shell(_ command: String) throws -> String {
    let (result, status) = Commands.run(command)
    try verify(status == 0, "'\(command)' exited with \(status >> 8): \(result)")
    return result
}

/// Runs a closure on a detached thread.
public func runOnThread(_ body: @escaping @Sendable () -> Void) {
    final class Box: Sendable {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
    var thread = pthread_t()
    let error = pthread_create(
        &thread, nil,
        { argument in
            Unmanaged<Box>.fromOpaque(argument!).takeRetainedValue().body()
            return nil
        }, Unmanaged.passRetained(Box(body)).toOpaque())
    precondition(error == 0, "pthread_create failed: \(error)")
    pthread_detach(thread)
}

/// A value that one thread waits for and another delivers.
public final class ThreadResult<Value: Sendable>: @unchecked Sendable {
    private var value: Value?
    private let ready: UnsafeMutablePointer<sem_t>

    public init() {
        ready = .allocate(capacity: 1)
        sem_init(ready, 0, 0)
    }

    deinit { ready.deallocate() }

    public func finish(_ value: Value) {
        self.value = value
        sem_post(ready)
    }

    /// Whether waiting would return at once.
    public var isFinished: Bool {
        var count: CInt = 0
        sem_getvalue(ready, &count)
        return count > 0
    }

    public func wait() -> Value {
        while sem_wait(ready) != 0 {}
        return value!
    }
}
