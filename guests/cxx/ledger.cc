/* ledger: accounts of several classes in maps of strings; calls through tables of virtual functions, templates, lambdas. */
#include "guest.h"

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

namespace {

constexpr int ACCOUNTS = SIZE(24, 600), TRANSFERS = SIZE(150, 60000);

uint64_t mix_text(uint64_t sum, const std::string &text) {
    return std::accumulate(text.begin(), text.end(), sum, [](uint64_t sum, char c) { return mix(sum, (unsigned char)c); });
}

class Account {
public:
    explicit Account(std::string name) : name_(std::move(name)) {}
    Account(const Account &) = delete;
    Account &operator=(const Account &) = delete;
    virtual ~Account() = default;

    virtual bool withdraw(int64_t amount) = 0;
    virtual void deposit(int64_t amount) { balance_ += amount; }
    virtual uint64_t digest(uint64_t sum) const { return mix(mix_text(sum, name_), (uint64_t)balance_); }

    const std::string &name() const { return name_; }
    int64_t balance() const { return balance_; }

protected:
    int64_t balance_ = 0;

private:
    std::string name_;
};

class Savings : public Account {
public:
    using Account::Account;

    bool withdraw(int64_t amount) override {
        if (amount > balance_) return false;
        balance_ -= amount;
        return true;
    }
};

class Credit : public Account {
public:
    Credit(std::string name, int64_t limit) : Account(std::move(name)), limit_(limit) {}

    bool withdraw(int64_t amount) override {
        if (balance_ - amount < -limit_) return false;
        balance_ -= amount;
        fee_ += 0.015 * (double)amount;
        return true;
    }

    uint64_t digest(uint64_t sum) const override { return mix_double(Account::digest(sum), fee_); }

private:
    int64_t limit_;
    double fee_ = 0;
};

/* An account of accounts: asks each in turn, so calls nest. */
class Family : public Account {
public:
    Family(std::string name, std::vector<Account *> members) : Account(std::move(name)), members_(std::move(members)) {}

    bool withdraw(int64_t amount) override {
        return std::any_of(members_.begin(), members_.end(), [amount](Account *member) { return member->withdraw(amount); });
    }

    void deposit(int64_t amount) override {
        for (Account *member : members_) member->deposit(amount / (int64_t)members_.size());
        Account::deposit(amount % (int64_t)members_.size());
    }

private:
    std::vector<Account *> members_;
};

class Ledger {
public:
    void open(std::unique_ptr<Account> account) {
        std::string name = account->name();
        accounts_.emplace(std::move(name), std::move(account));
    }

    Account *find(const std::string &name) const {
        auto found = accounts_.lower_bound(name);
        return (found == accounts_.end() ? accounts_.begin() : found)->second.get();
    }

    bool transfer(const std::string &from, const std::string &to, int64_t amount) {
        Account *source = find(from), *target = find(to);
        if (!source->withdraw(amount)) {
            refused_[source->name() + " -> " + target->name()]++;
            return false;
        }
        target->deposit(amount);
        for (const auto &observer : observers_) observer(*source, *target, amount);
        return true;
    }

    void observe(std::function<void(const Account &, const Account &, int64_t)> observer) {
        observers_.push_back(std::move(observer));
    }

    uint64_t digest(uint64_t sum) const {
        for (const auto &[name, account] : accounts_) sum = account->digest(mix_text(sum, name));
        std::vector<std::pair<int, std::string>> refused;
        for (const auto &[route, times] : refused_) refused.emplace_back(times, route);
        std::sort(refused.begin(), refused.end(), std::greater<>());
        for (const auto &[times, route] : refused) sum = mix(mix_text(sum, route), (uint64_t)times);
        return sum;
    }

private:
    std::map<std::string, std::unique_ptr<Account>> accounts_;
    std::map<std::string, int> refused_;
    std::vector<std::function<void(const Account &, const Account &, int64_t)>> observers_;
};

std::string random_name(uint64_t *numbers) {
    std::string name;
    for (uint64_t number = next_number(numbers) >> 40; number > 0; number /= 26) name += (char)('a' + number % 26);
    return name + (name.size() % 2 ? ", of the longer names that live on the heap" : "");
}

std::unique_ptr<Account> random_account(const Ledger &ledger, int number, uint64_t *numbers) {
    switch (number % 3) {
    case 0: return std::make_unique<Savings>(random_name(numbers));
    case 1: return std::make_unique<Credit>(random_name(numbers), (int64_t)(next_number(numbers) >> 54));
    default:
        std::vector<Account *> members;
        for (int i = 0; i < 3; i++) members.push_back(ledger.find(random_name(numbers)));
        return std::make_unique<Family>(random_name(numbers), std::move(members));
    }
}

} // namespace

int main() {
    uint64_t numbers = 99, moved = 0;
    std::string longest;
    Ledger ledger;
    for (int i = 0; i < ACCOUNTS; i++) ledger.open(random_account(ledger, i, &numbers));
    ledger.observe([&moved](const Account &, const Account &, int64_t amount) { moved += (uint64_t)amount; });
    ledger.observe([&longest](const Account &from, const Account &to, int64_t) {
        if (from.name().size() + to.name().size() > longest.size()) longest = from.name() + to.name();
    });
    uint64_t sum = 0;
    for (int i = 0; i < TRANSFERS; i++) {
        std::string from = random_name(&numbers), to = random_name(&numbers);
        sum = mix(sum, ledger.transfer(from, to, (int64_t)(next_number(&numbers) >> 55)));
    }
    return result(ledger.digest(mix_text(mix(sum, moved), longest)));
}
