extension AddressPolicies {
    /// Returns whether the policies may give another client another answer for a name: an answer that does not depend on
    /// the client has the scope 0 in EDNS client subnet (RFC 7871, section 7.2.1).
    ///
    /// All types count, since policies for one type decide whether the name exists for others.
    func dependsOnClient(_ name: borrowing NameKeys, _ question: AddressQuestion) -> Bool {
        guard dependsOnClients else { return false }
        var question = question.forAnyClient
        var start = 0
        while let rule = firstMatch(name, question, from: start) {
            if policies[rule].dependsOnClient { return true }
            // It decides for all clients; later policies no longer count for its families.
            question.families.subtract(rules[rule].families)
            if question.families.isEmpty { return false }
            start = rule + 1
        }
        return false
    }
}
