import Glibc

/// Runs a system call that returns -1 and sets errno, repeating it after EINTR.
@discardableResult
package func systemCall(_ name: String, _ body: () -> CInt) throws(SteeringError) -> CInt {
    while true {
        let result = body()
        if result >= 0 { return result }
        if errno != EINTR { throw .failed(name, errno) }
    }
}

/// Runs a call of libbpf or the shim, which return a negative errno, repeating it after EINTR.
@discardableResult
package func call(_ name: String, _ body: () -> CInt) throws(SteeringError) -> CInt {
    try call(name, uninterrupted(body))
}

/// Throws if the result of such a call is a negative errno.
@discardableResult
package func call(_ name: String, _ result: CInt) throws(SteeringError) -> CInt {
    if result < 0 { throw .failed(name, -result) }
    return result
}

/// Runs such a call, repeating it after EINTR, and returns its result, for callers that handle some errors themselves.
package func uninterrupted(_ body: () -> CInt) -> CInt {
    while true {
        let result = body()
        if result != -EINTR { return result }
    }
}

/// Runs a clean-up step after a change has taken effect, and retries it once: a transient failure must not make the
/// change look failed.
func settled(_ body: () throws(SteeringError) -> Void) throws(SteeringError) {
    do throws(SteeringError) { try body() } catch { try body() }
}

extension SteeringError {
    package static func failed(_ name: String, _ error: CInt) -> SteeringError {
        SteeringError(
            .systemCall, "\(name) failed: \(describe(errno: error))", cause: .systemCall(name, errno: error))
    }

    /// The error for a failed clean-up after a change has taken effect: the change stands, and the message includes
    /// that.
    static func unfinished(_ done: String, _ error: SteeringError) -> SteeringError {
        SteeringError(
            error.code, "\(done), but cleaning up failed; the next command will do it: \(error.message)",
            cause: error.cause)
    }

    /// The errno of a failed system call; 0 for other errors.
    package var errno: CInt {
        if case .systemCall(_, let errno) = cause { errno } else { 0 }
    }
}

/// Returns the C library's message for an errno.
package func describe(errno: CInt) -> String {
    withUnsafeTemporaryAllocation(of: CChar.self, capacity: 128) { text in
        strerror_r(errno, text.baseAddress!, text.count) == 0 ? String(cString: text.baseAddress!) : "errno \(errno)"
    }
}
