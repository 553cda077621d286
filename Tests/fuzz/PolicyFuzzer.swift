// The reader of name policies fed with whatever libFuzzer thinks of: a policy file in JSON, which refers to the files in
// Tests/fuzz/dns. scripts/fuzz compiles it with the sources of SteeringDNS as one module.
//
// Whatever is read must be answered from, without end of the process; whatever is refused says where and what to do.

import AddressPools

private let names = ["example.com", "a.example.com", "x.y.a.example.com", "deep.er.example.com", "x.inner.example.com"]

func fuzzPolicies(_ start: UnsafePointer<UInt8>, _ size: Int) -> CInt {
    let input = Array(UnsafeBufferPointer(start: start, count: size))
    do throws(NamePolicyError) {
        // scripts/fuzz runs it in the repository.
        let served = try NamePolicyFile.parse(input, name: "policy.json", isJSON: true, directory: "Tests/fuzz/dns")
        for name in names {
            for type in [RecordType.A, .AAAA, .MX] { answer(name, type, served) }
        }
    } catch {
        precondition(!error.messages.isEmpty, "a refusal has a reason")
        for message in error.messages {
            precondition(message.contains(":") && !message.contains("\n"), "a reason is one sentence with a remedy")
        }
    }
    return 0
}

private func answer(_ name: String, _ type: RecordType, _ served: ServedData) {
    guard let name = try? DNSName(name) else { return }
    let told = served.explain(name, type, from: IPAddress(ipv4: 0xC633_6401))
    guard let pool = told.pool else { return }
    precondition(told.draws.allSatisfy(pool.addresses.contains), "each address is of the policy's pool")
    if told.answers > 1 { precondition(Set(told.draws).count == told.draws.count, "several addresses are distinct") }
}
