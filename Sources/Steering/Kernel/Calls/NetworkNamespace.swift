import CSteering
import Glibc

/// A network namespace, held open: the scope of one steering.
public struct NetworkNamespace: ~Copyable, Sendable {
    let descriptor: OwnedDescriptor
    /// Where it was found.
    let path: String

    /// The namespace's inode number, as `ip netns` and `/proc/PID/ns/net` show it.
    ///
    /// Numbers are used again after a namespace ends.
    public let inode: UInt64

    /// The calling thread's network namespace.
    ///
    /// - Throws: `networkNamespaceUnavailable` where `/proc` is not mounted.
    public static func current() throws(SteeringError) -> NetworkNamespace {
        // Not /proc/self: that is the main thread's.
        try NetworkNamespace(path: "/proc/thread-self/ns/net")
    }

    /// Where `ip netns` keeps names.
    static let namedFolder = "/run/netns"

    /// Opens a namespace by what people call it: a name of `ip netns`, the number of a process, or a path.
    ///
    /// A name goes before a process of the same number.
    ///
    /// - Throws: As ``init(path:)``.
    public init(named text: String) throws(SteeringError) {
        let named = "\(Self.namedFolder)/\(text)"
        if text.isEmpty || text.contains("/") {
            try self.init(path: text)
        } else if access(named, F_OK) != 0, let process = pid_t(text), process > 0 {
            try self.init(path: "/proc/\(process)/ns/net")
        } else {
            try self.init(path: named)
        }
    }

    /// Where it was found, from the root.
    var absolutePath: String {
        if path.hasPrefix("/") { return path }
        guard let folder = getcwd(nil, 0) else { return path }
        defer { free(folder) }
        return String(cString: folder) + "/" + path
    }

    /// Opens a namespace by a path: `/run/netns/NAME`, `/proc/PID/ns/net`.
    ///
    /// - Throws: `networkNamespaceUnavailable` when the path cannot be opened or is something else.
    public init(path: String) throws(SteeringError) {
        let opened = open(path, O_RDONLY | O_CLOEXEC)
        guard opened >= 0 else { throw .namespaceUnavailable(path, errno) }
        let owned = OwnedDescriptor(owning: opened)
        let netns = UInt(0xb703)  // NS_GET_NSTYPE
        guard ioctl(opened, netns, 0) == 0x4000_0000 else {  // CLONE_NEWNET
            throw SteeringError(
                .networkNamespaceUnavailable,
                "\(path) is not a network namespace: give a name that `ip netns` lists, the number of a process, or a path such as /proc/PID/ns/net"
            )
        }
        var status = stat()
        try systemCall("fstat") { fstat(opened, &status) }
        descriptor = owned
        self.path = path
        inode = UInt64(status.st_ino)
    }

    /// Runs a closure on a thread of its own inside the namespace.
    ///
    /// Sockets belong to the namespace of the thread that makes them, for good; so what the closure
    /// returns may be used anywhere. It must not touch Swift concurrency: a thread that resumes a task
    /// hands its namespace on to the pool's threads.
    ///
    /// - Throws: `missingCapability`: entering needs CAP_SYS_ADMIN, unless the calling thread is there
    ///   already. Whatever the closure throws.
    package borrowing func run<Result: Sendable>(
        _ body: @escaping @Sendable () throws(SteeringError) -> Result
    ) throws(SteeringError) -> Result {
        if try NetworkNamespace.current().inode == inode { return try body() }
        let target = descriptor.rawValue
        let thread = RunningThread { () throws(SteeringError) in
            let entered = csteering_enter_netns(target)
            if entered == -EPERM { throw .cannotEnterNamespace }
            try call("setns", entered)
            return try body()
        }
        return try thread.join()
    }
}

/// A closure that runs on a thread of its own, and its result.
private final class RunningThread<Value: Sendable>: @unchecked Sendable {
    private let body: @Sendable () throws(SteeringError) -> Value
    private var result: Result<Value, SteeringError>?  // Written by the thread, read after it was joined.

    init(_ body: @escaping @Sendable () throws(SteeringError) -> Value) { self.body = body }

    func join() throws(SteeringError) -> Value {
        var thread = pthread_t()
        let error = pthread_create(
            &thread, nil,
            { argument in
                let running = Unmanaged<AnyObject>.fromOpaque(argument!).takeRetainedValue() as! any Runnable
                running.run()
                return nil
            }, Unmanaged.passRetained(self as AnyObject).toOpaque())
        if error != 0 {
            Unmanaged.passUnretained(self as AnyObject).release()
            throw .failed("pthread_create", error)
        }
        pthread_join(thread, nil)
        return try result!.get()
    }
}

private protocol Runnable: AnyObject {
    func run()
}

extension RunningThread: Runnable {
    func run() {
        do throws(SteeringError) { result = .success(try body()) } catch { result = .failure(error) }
    }
}

extension SteeringError {
    static func namespaceUnavailable(_ path: String, _ error: CInt) -> SteeringError {
        SteeringError(
            .networkNamespaceUnavailable,
            "network namespace \(path) cannot be opened (\(describe(errno: error))): \(namespaceRemedy(path))",
            cause: .systemCall("open", errno: error))
    }

    static let cannotEnterNamespace = SteeringError(
        .missingCapability,
        "steering in another network namespace needs CAP_SYS_ADMIN to look at its sockets and interfaces: run there, or grant it",
        cause: .systemCall("setns", errno: EPERM))

    private static func namespaceRemedy(_ path: String) -> String {
        path.hasPrefix(NetworkNamespace.namedFolder)
            ? "`ip netns` lists those that have a name, and /proc/PID/ns/net is that of a process"
            : "is its process alive, is /proc mounted?"
    }
}
