// The driver `segments`: puts the parts together behind the door.
#pragma once

#include <memory>
#include <vector>

#include "journal/drivers/segments/blob_store.h"
#include "journal/drivers/segments/housekeeper.h"
#include "journal/drivers/segments/recovery.h"
#include "journal/journal.h"
#include "os/os.h"

namespace gantry::journal::segments {

class SegmentsJournal final : public Journal {
 public:
  /// `storage` null: the directory of the options, which is then locked while open.
  SegmentsJournal(Options options, Clock& clock, Random& random, std::unique_ptr<Storage> storage);
  ~SegmentsJournal() override { stop(); }

  void add(Fold& fold) override;
  void add(Projection& projection) override;
  Result<void> open() override;
  void stop() override;

  Task<Result<Appended>> append(Entry entry) override;
  Task<Result<std::vector<Appended>>> append_many(std::vector<Entry> entries) override;

  Result<std::string> read(Location location) override;
  std::unique_ptr<Reader> reader(uint64_t from_seq) override;
  uint64_t first_seq() const override { return catalog_.first_seq(); }
  uint64_t durable_seq() const override { return durable_.seq(); }
  Task<bool> until_durable(uint64_t seq, SteadyTime deadline) override;

  std::vector<Lag> lag() const override;
  Health health() const override { return writer_.health(); }
  Stats stats() const override { return writer_.stats(); }
  Result<Usage> usage() override;
  Blobs& blobs() override { return blobs_; }
  Result<void> tidy_up() override;

 private:
  enum class State { made, open, stopped };
  Result<void> try_open();
  Result<void> prepare_directory();
  Result<void> check_options() const;
  Result<void> check(const Entry& entry) const;
  Result<std::string> seal(Entry& entry) const;
  Result<Pending> prepare(std::span<Entry> entries, std::span<Appended> receipts) const;
  void start(const Recovered& recovered);

  Options options_;
  Clock& clock_;
  Random& random_;
  bool lock_wanted_;
  std::unique_ptr<Storage> storage_;
  os::Fd lock_;
  State state_ = State::made;
  std::vector<Fold*> folds_;
  Catalog catalog_;
  DurablePoint durable_;
  Provisioner provisioner_;
  Checkpoints checkpoints_;
  Writer writer_;
  std::vector<std::unique_ptr<Projector>> projectors_;
  std::unique_ptr<Housekeeper> housekeeper_;
  BlobStore blobs_;
};

}  // namespace gantry::journal::segments
