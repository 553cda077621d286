internal import AddressPools
import Glibc

/// Reads regular files, standard input and, where blocking is acceptable, pipes, up to a limit, which is
/// ``Document/maximumSize`` except for zone files.
package enum InputFile {
    /// The longest wait for data from a pipe.
    private static let patience = Duration.seconds(60)

    /// Reads a file.
    ///
    /// With `mayBePipe`, accepts a pipe such as `<(COMMAND)` in a shell, and waits for its writer.
    package static func contents(
        of path: String, mayBePipe: Bool = false, limit: Int = Document.maximumSize
    ) throws(DocumentError) -> [UInt8] {
        let (number, status) = try opened(path)
        defer { close(number) }
        if mayBePipe, status.st_mode & S_IFMT == S_IFIFO { return try bytes(ofPipe: number, path) }
        try checkIsRegular(status, path)
        guard status.st_size <= limit else { throw tooLarge(path, limit) }
        return try bytes(of: number, path, expecting: Int(status.st_size), limit: limit)
    }

    /// Opens a regular file, of any size, that the caller reads and closes.
    package static func open(_ path: String) throws(DocumentError) -> (descriptor: CInt, size: Int) {
        let (number, status) = try opened(path)
        do throws(DocumentError) { try checkIsRegular(status, path) } catch {
            close(number)
            throw error
        }
        return (number, Int(status.st_size))
    }

    /// Reads standard input; errors refer to it as `name`.
    package static func standardInput(_ name: String) throws(DocumentError) -> [UInt8] {
        try bytes(of: STDIN_FILENO, name, expecting: 0)
    }

    /// Returns the path of a file that another file names, relative to that file's directory.
    package static func path(_ name: String, in directory: String) -> String {
        name.hasPrefix("/") || directory == "." ? name : "\(directory)/\(name)"
    }

    /// Returns the part of a path before its last component.
    package static func directory(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    /// Returns whether a path refers to a pipe, which can be read only once.
    package static func isPipe(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFIFO
    }

    /// Opens a file of any kind without waiting for anything.
    private static func opened(_ path: String) throws(DocumentError) -> (CInt, stat) {
        // The kernel would end the path at a NUL and open a different file; a message with a line break is two.
        guard !path.utf8.contains(where: { $0 < 0x20 || $0 == 0x7F }) else {
            throw unreadable(quoted(path), "its name has a control character", "rename it")
        }
        // Without O_NONBLOCK, opening a FIFO blocks until there is a writer.
        let number = Glibc.open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
        guard number >= 0 else {
            throw unreadable(path, String(cString: strerror(errno)), "check its name and permissions")
        }
        var status = stat()
        guard fstat(number, &status) == 0 else {
            let reason = String(cString: strerror(errno))
            close(number)
            throw unreadable(path, reason, "check the file")
        }
        return (number, status)
    }

    private static func checkIsRegular(_ status: stat, _ path: String) throws(DocumentError) {
        guard status.st_mode & S_IFMT != S_IFREG else { return }
        let kind = status.st_mode & S_IFMT == S_IFDIR ? "it is a directory" : "it is not a regular file"
        throw unreadable(path, kind, "name a file, or - for standard input")
    }

    private static func bytes(ofPipe descriptor: CInt, _ path: String) throws(DocumentError) -> [UInt8] {
        _ = fcntl(descriptor, F_SETFL, 0)
        let bytes = try bytes(of: descriptor, path, expecting: 0) { () throws(DocumentError) in
            var waiting = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            let found = poll(&waiting, 1, CInt(patience / .milliseconds(1)))
            guard found != 0 else {
                throw unreadable(path, "no data came from the pipe for a minute", "check its writer")
            }
        }
        if bytes.isEmpty { throw unreadable(path, "no data came from the pipe", "check its writer") }
        return bytes
    }

    private static func bytes(
        of descriptor: CInt, _ name: String, expecting size: Int, limit: Int = Document.maximumSize,
        awaiting ready: () throws(DocumentError) -> Void = {}
    ) throws(DocumentError) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(size)
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            try ready()
            let count = Glibc.read(descriptor, &chunk, chunk.count)
            if count == 0 { return bytes }
            if count < 0 {
                if errno == EINTR { continue }
                throw unreadable(name, String(cString: strerror(errno)), "check the file")
            }
            bytes += chunk[..<count]
            if bytes.count > limit { throw tooLarge(name, limit) }
        }
    }

    static func tooLarge(_ name: String, _ limit: Int = Document.maximumSize) -> DocumentError {
        DocumentError(
            "\(name) is larger than \(limit >> 20) MiB and was not read: make it smaller, for example by merging prefixes or splitting a zone"
        )
    }

    private static func unreadable(_ name: String, _ reason: String, _ remedy: String) -> DocumentError {
        DocumentError("\(name) cannot be read, \(reason): \(remedy)")
    }
}
