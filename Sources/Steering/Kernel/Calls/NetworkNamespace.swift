import CSteering
import Glibc

/// An open network namespace: the scope of one steering.
public struct NetworkNamespace: ~Copyable, Sendable {
    let descriptor: OwnedDescriptor
    /// The path with which it was opened.
    let path: String

    /// The inode number of the namespace, as `/proc/PID/ns/net` shows it. The kernel reuses the number after the
    /// namespace has ended.
    public let inode: UInt64

    /// Opens the calling thread's network namespace.
    ///
    /// - Throws: `networkNamespaceUnavailable` if `/proc` is not mounted.
    public static func current() throws(SteeringError) -> NetworkNamespace {
        // Not /proc/self, which is the main thread's.
        try NetworkNamespace(path: "/proc/thread-self/ns/net")
    }

    /// The directory of the names that `ip netns` manages.
    static let namedFolder = "/run/netns"

    /// Opens a namespace by name, PID or path. A name takes precedence over an equal PID.
    ///
    /// - Parameter text: A name that `ip netns` lists, a PID, or a path.
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

    /// The absolute form of the path with which it was opened.
    var absolutePath: String {
        if path.hasPrefix("/") { return path }
        guard let folder = getcwd(nil, 0) else { return path }
        defer { free(folder) }
        return String(cString: folder) + "/" + path
    }

    /// A path for later: that of the name, if the namespace was opened by a process and has one; otherwise the absolute
    /// path.
    var lastingPath: String {
        guard path.hasPrefix("/proc/"), let folder = opendir(Self.namedFolder) else { return absolutePath }
        defer { closedir(folder) }
        while let entry = readdir(folder) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if let named = try? NetworkNamespace(path: "\(Self.namedFolder)/\(name)"), named.inode == inode {
                return named.path
            }
        }
        return absolutePath
    }

    /// Opens a namespace by path.
    ///
    /// - Parameter path: A path such as `/run/netns/NAME` or `/proc/PID/ns/net`.
    /// - Throws: `networkNamespaceUnavailable` if the path cannot be opened or is not a network namespace;
    ///   `systemCall`.
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

    /// Runs a closure inside the namespace, on a thread of its own.
    ///
    /// A socket stays in the namespace of the thread that creates it, so the closure may return sockets for use
    /// anywhere. It must not use Swift concurrency: pool threads that its thread starts would inherit the namespace.
    ///
    /// - Throws: `missingCapability` if the process lacks CAP_SYS_ADMIN and the calling thread is in another namespace;
    ///   `networkNamespaceUnavailable` if `/proc` is not mounted; `systemCall`, and the errors of the closure.
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

/// A closure on a thread of its own, with its result.
private final class RunningThread<Value: Sendable>: @unchecked Sendable {
    private let body: @Sendable () throws(SteeringError) -> Value
    private var result: Result<Value, SteeringError>?  // Written by the thread, read after join.

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
