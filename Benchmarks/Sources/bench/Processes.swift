import CBench
import Glibc

/// Starts a program in the calling thread's namespace. It is asked to end with this process.
func start(_ command: String) throws -> CInt { try BenchError.check(command, bench_start("exec " + command)) }

/// What a shell command prints, run in the calling thread's namespace.
func output(of command: String) throws -> String {
    guard let pipe = popen(command + " 2>&1", "r") else { throw BenchError("\(command) does not start") }
    var bytes: [UInt8] = []
    while case let byte = fgetc(pipe), byte != EOF { bytes.append(UInt8(byte)) }
    let text = String(decoding: bytes, as: UTF8.self)
    guard pclose(pipe) == 0 else { throw BenchError("this failed: \(command): \(text)") }
    return text
}

/// The result of what succeeds within seconds: a program has started.
func eventually<Result>(_ body: () throws -> Result) throws -> Result {
    for _ in 0..<200 {
        if let result = try? body() { return result }
        usleep(50_000)
    }
    return try body()
}

/// A directory that ends with this value.
final class WorkDirectory {
    let path: String

    init() throws {
        var template = Array("/tmp/steering-bench-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw BenchError("no directory can be made in /tmp") }
        path = template.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
    }

    deinit { try? shell("rm -r \(path)") }

    /// Returns the file's path.
    func write(_ name: String, _ content: String) throws -> String {
        let file = "\(path)/\(name)"
        guard let stream = fopen(file, "w"), fputs(content, stream) >= 0, fclose(stream) == 0 else {
            throw BenchError("\(file) cannot be written")
        }
        return file
    }
}
