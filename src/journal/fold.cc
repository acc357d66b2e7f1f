#include "journal/fold.h"

namespace gantry::journal {
namespace {

struct Whole final : Fold::Snapshot {
  explicit Whole(std::string state) : bytes(std::move(state)) {}
  bool append_to(std::string& out) override {
    out += bytes;
    return false;
  }
  std::string bytes;
};

}  // namespace

std::unique_ptr<Fold::Snapshot> Fold::snapshot() { return std::make_unique<Whole>(checkpoint()); }

}  // namespace gantry::journal
