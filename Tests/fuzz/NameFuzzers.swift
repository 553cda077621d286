import Glibc

/// What a target does with an input.
private typealias Target = @Sendable (UnsafePointer<UInt8>, Int) -> CInt

/// The target that $FUZZ_TARGET names. All are in one program, since compiling SteeringDNS with the sanitizer takes a minute.
private let target: Target = {
    let targets: [String: Target] = [
        "dns": fuzzAnswers, "lists": fuzzLists, "policy": fuzzPolicies, "zone": fuzzZones,
    ]
    guard let name = getenv("FUZZ_TARGET"), let target = targets[String(cString: name)] else {
        print("FUZZ_TARGET must be dns, lists, policy or zone: run scripts/fuzz, which sets it")
        fflush(nil)
        exit(64)
    }
    return target
}()

@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ start: UnsafePointer<UInt8>, _ size: Int) -> CInt { target(start, size) }
