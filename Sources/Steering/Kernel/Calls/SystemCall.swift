import Glibc

/// Runs a call that returns -1 and sets errno, again when a signal interrupted it. The only reader of
/// errno.
@discardableResult
package func systemCall(_ name: String, _ body: () -> CInt) throws(SteeringError) -> CInt {
    while true {
        let result = body()
        if result >= 0 { return result }
        if errno != EINTR { throw .failed(name, errno) }
    }
}

/// Runs a call of libbpf or of the shim, which return a negative errno, again when a signal interrupted it.
@discardableResult
func call(_ name: String, _ body: () -> CInt) throws(SteeringError) -> CInt {
    try call(name, uninterrupted(body))
}

/// Checks what such a call returned.
@discardableResult
func call(_ name: String, _ result: CInt) throws(SteeringError) -> CInt {
    if result < 0 { throw .failed(name, -result) }
    return result
}

/// Runs such a call where some errors are answers: what it returned, which is never -EINTR.
func uninterrupted(_ body: () -> CInt) -> CInt {
    while true {
        let result = body()
        if result != -EINTR { return result }
    }
}

/// Runs what only tidies up behind a change that is in force already; a second time when it fails, so that a want
/// that passes does not make the change look like none.
func settled(_ body: () throws(SteeringError) -> Void) throws(SteeringError) {
    do throws(SteeringError) { try body() } catch { try body() }
}

extension SteeringError {
    package static func failed(_ name: String, _ error: CInt) -> SteeringError {
        SteeringError(
            .systemCall, "\(name) failed: \(describe(errno: error))", cause: .systemCall(name, errno: error))
    }

    /// What failed after a change was in force: it stays so, and whoever is told that something failed is told this, too.
    static func unfinished(_ done: String, _ error: SteeringError) -> SteeringError {
        SteeringError(
            error.code, "\(done), but cleaning up failed, which the next command does: \(error.message)",
            cause: error.cause)
    }

    /// The errno of a failed system call, 0 for other errors.
    package var errno: CInt {
        if case .systemCall(_, let errno) = cause { errno } else { 0 }
    }
}

/// The C library's words for an errno.
package func describe(errno: CInt) -> String {
    withUnsafeTemporaryAllocation(of: CChar.self, capacity: 128) { text in
        strerror_r(errno, text.baseAddress!, text.count) == 0 ? String(cString: text.baseAddress!) : "errno \(errno)"
    }
}
