import Glibc
import SteeringDNS
import Testing

/// A seeded generator, so that a failing random test fails again. SplitMix64 of Steele, Lea and Flood, "Fast Splittable
/// Pseudorandom Number Generators", OOPSLA 2014.
struct ZoneGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) {
        state = seed
    }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    mutating func number(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &self) }
    mutating func flip() -> Bool { Bool.random(using: &self) }
    mutating func pick<Element>(_ choices: [Element]) -> Element { choices[number(0...choices.count - 1)] }
}

/// Reads a zone file in a test: `$TTL 300`, and the origin example.com.
func zone(_ text: String, origin: String? = "example.com", defaultTTL: UInt32? = 300) throws -> [ResourceRecord] {
    try ZoneFile(
        Array(text.utf8), named: "zone.txt", origin: try origin.map { try DNSName($0) }, defaultTTL: defaultTTL
    ).records
}

/// The records of a zone file as lines.
func lines(_ text: String, origin: String? = "example.com", defaultTTL: UInt32? = 300) throws -> [String] {
    try zone(text, origin: origin, defaultTTL: defaultTTL).map(ZoneFile.text)
}

/// The error that a zone file gives, or nil.
func refusal(_ text: String, origin: String? = "example.com", defaultTTL: UInt32? = 300) throws -> ZoneFileError? {
    try refusal(Array(text.utf8), origin: origin, defaultTTL: defaultTTL)
}

func refusal(_ bytes: [UInt8], origin: String? = "example.com", defaultTTL: UInt32? = 300) throws -> ZoneFileError? {
    let origin = try origin.map { try DNSName($0) }
    do throws(ZoneFileError) {
        _ = try ZoneFile(bytes, named: "zone.txt", origin: origin, defaultTTL: defaultTTL)
        return nil
    } catch {
        return error
    }
}

/// The error that a zone file gives as it is printed; empty if there is none.
func refusalText(_ text: String) -> String { (try? refusal(text)).flatMap { $0?.description } ?? "" }

/// A directory for the files that other programs read; gone with the value.
final class ZoneFolder {
    let path: String

    init() {
        var template = Array("/tmp/zone-test-XXXXXX".utf8CString)
        precondition(mkdtemp(&template) != nil, "mkdtemp failed")
        path = String(decoding: template.dropLast().map(UInt8.init), as: UTF8.self)
    }

    deinit {
        _ = try? Tool.run("rm -r \(path)")
    }

    func write(_ text: String, to name: String) -> String {
        let file = fopen("\(path)/\(name)", "we")!
        defer { fclose(file) }
        let bytes = Array(text.utf8)
        precondition(fwrite(bytes, 1, bytes.count, file) == bytes.count, "cannot write")
        return "\(path)/\(name)"
    }
}

/// Programs that others wrote.
enum Tool {
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    /// Runs a shell command that must succeed: what it prints.
    ///
    /// Between fork and exec a child holds a copy of every descriptor, and tests of other modules in this process count
    /// theirs. So the child is made by a thread whose descriptor table is its own, and empty.
    static func run(_ command: String) throws -> String {
        let job = Job(command)
        var thread = pthread_t()
        let started = pthread_create(&thread, nil, { Job.run($0!) }, Unmanaged.passUnretained(job).toOpaque())
        precondition(started == 0, "pthread_create failed")
        pthread_join(thread, nil)
        let text = String(decoding: job.output, as: UTF8.self)
        guard job.status == 0 else {
            throw Failure(description: "\(command) ended with \(job.status): \(text.suffix(2_000))")
        }
        return text
    }

    private final class Job {
        let command: String
        var output: [UInt8] = []
        var status: CInt = -1

        init(_ command: String) {
            self.command = command
        }

        static func run(_ pointer: UnsafeMutableRawPointer) -> UnsafeMutableRawPointer? {
            Unmanaged<Job>.fromOpaque(pointer).takeUnretainedValue().run()
            return nil
        }

        private func run() {
            // Glibc's module does not show unshare.
            let unshare = unsafeBitCast(dlsym(nil, "unshare"), to: (@convention(c) (CInt) -> CInt).self)
            precondition(unshare(0x400 /* CLONE_FILES */) == 0, "unshare(CLONE_FILES) failed")
            closefrom(3)
            var none = sigset_t()
            sigemptyset(&none)
            pthread_sigmask(SIG_SETMASK, &none, nil)
            let pipe = popen("exec 2>&1; \(command)", "re")!
            var buffer = [UInt8](repeating: 0, count: 1 << 16)
            while case let count = fread(&buffer, 1, buffer.count, pipe), count > 0 { output += buffer[..<count] }
            status = pclose(pipe)
        }
    }
}
