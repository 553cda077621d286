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

/// Checks a call of libbpf or of the shim, which return a negative errno.
@discardableResult
func call(_ name: String, _ result: CInt) throws(SteeringError) -> CInt {
    if result < 0 { throw .failed(name, -result) }
    return result
}

extension SteeringError {
    package static func failed(_ name: String, _ error: CInt) -> SteeringError {
        SteeringError(
            .systemCall, "\(name) failed: \(describe(errno: error))", cause: .systemCall(name, errno: error))
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
