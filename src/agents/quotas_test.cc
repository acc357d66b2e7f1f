#include "agents/quotas.h"

#include <gtest/gtest.h>

#include "agents/records.h"

namespace gantry::agents {
namespace {

namespace fs = std::filesystem;

constexpr size_t at(Resource resource) { return static_cast<size_t>(resource); }

TEST(Limit, IsReadAndWrittenInTheUnitsOfSpecs) {
  struct Case {
    Resource resource;
    std::string text;
    std::optional<uint64_t> limit;
    std::string shown;
  };
  for (const auto& [resource, text, limit, shown] : std::vector<Case>{
           {Resource::agents, "10", 10, "10"},
           {Resource::agents, "0", 0, "0"},
           {Resource::instances, "none", std::nullopt, ""},
           {Resource::memory, "8Gi", uint64_t{8} << 30, "8Gi"},
           {Resource::storage, "0", 0, "0"},
           {Resource::cpu, "4", 4000, "4"},
           {Resource::cpu, "2.5", 2500, "2500m"},
           {Resource::cpu, "5000000", 5'000'000'000, "5000000"},
           {Resource::cpu, "0", 0, "0"},
       }) {
    auto parsed = parse_limit(resource, text);
    ASSERT_TRUE(parsed.has_value()) << parsed.error().reason();
    EXPECT_EQ(*parsed, limit) << text;
    if (limit) EXPECT_EQ(format_amount(resource, *limit), shown);
  }
}

TEST(Limit, ThatMeansNothingIsRefusedWithWhatIsPossible) {
  for (const auto& [resource, text] :
       std::vector<std::pair<Resource, std::string>>{{Resource::agents, "-1"},
                                                     {Resource::agents, "10x"},
                                                     {Resource::instances, "2.5"},
                                                     {Resource::agents, ""},
                                                     {Resource::agents, "99999999999999999999"},
                                                     {Resource::memory, "8GB8"},
                                                     {Resource::memory, "9999999999Gi"},
                                                     {Resource::cpu, "many"}}) {
    auto parsed = parse_limit(resource, text);
    ASSERT_FALSE(parsed.has_value()) << text;
    EXPECT_EQ(parsed.error().id(), ErrorId::GR0513);
    EXPECT_TRUE(parsed.error().reason().starts_with(std::string(to_string(resource)) + ": '"))
        << parsed.error().reason();
  }
  EXPECT_EQ(parse_limit(Resource::memory, "much").error().reason(),
            "memory: 'much' is neither a size such as 8Gi nor 'none'");
}

class QuotaTest : public testing::Test {
 protected:
  QuotaTest() {
    std::string pattern = (fs::temp_directory_path() / "gantry-quotas-XXXXXX").string();
    GANTRY_CHECK(::mkdtemp(pattern.data()) != nullptr);
    data_ = pattern;
    const store::Migrations schema[] = {migrations()};
    database_ = store::open_sqlite(data_ / "store.db", schema).value();
  }
  ~QuotaTest() override {
    database_.reset();
    fs::remove_all(data_);
  }
  Result<> deploy(const std::string& name, uint32_t replicas, Bytes memory) {
    core::AgentSpec spec;
    spec.name = name;
    spec.command = {"app"};
    spec.replicas = replicas;
    spec.resources.memory = memory;
    const NewIds ids{AgentId::make(clock_, random_), RevisionId::make(clock_, random_), clock_.now()};
    auto done = database_->write_blocking(
        scope_, [&](store::Session& session) { return agents::deploy(session, spec, ids, {100, 10, configured_}); });
    if (!done) return std::unexpected(done.error());
    return {};
  }
  Result<> scale(const std::string& name, uint32_t replicas) {
    auto done = database_->write_blocking(scope_, [&](store::Session& session) {
      return set_replicas(session, name, replicas, configured_, clock_.now());
    });
    if (!done) return std::unexpected(done.error());
    return {};
  }
  std::vector<QuotaView> change(std::vector<QuotaChange> changes) {
    return database_
        ->write_blocking(scope_,
                         [&](store::Session& session) -> Result<std::vector<QuotaView>> {
                           GANTRY_TRY_VOID(change_quotas(session, changes, clock_.now()));
                           return quotas_of(session, configured_);
                         })
        .value();
  }
  QuotaView view(Resource resource) { return change({}).at(at(resource)); }

  fs::path data_;
  const Scope scope_ = Scope::standard();
  ManualClock clock_;
  SeededRandom random_{1};
  std::unique_ptr<store::Database> database_;
  Limits configured_;
};

TEST_F(QuotaTest, CountsWhatIsDeclared) {
  ASSERT_TRUE(deploy("a", 2, mebibytes(512)).has_value());
  ASSERT_TRUE(deploy("b", 3, gibibytes(1)).has_value());
  EXPECT_EQ(view(Resource::agents).used, 2u);
  EXPECT_EQ(view(Resource::instances).used, 5u);
  EXPECT_EQ(view(Resource::memory).used, uint64_t{4} << 30);
  EXPECT_EQ(view(Resource::cpu).used, 5000u);
  EXPECT_EQ(view(Resource::storage).used, uint64_t{5} << 30);
  EXPECT_EQ(view(Resource::memory).origin, LimitOrigin::none);
}

TEST_F(QuotaTest, RefusesWithWhatIsUsedAskedAndAllowedAndChangesNothing) {
  configured_[at(Resource::memory)] = uint64_t{2} << 30;
  configured_[at(Resource::agents)] = 2;
  ASSERT_TRUE(deploy("a", 1, gibibytes(1)).has_value());
  auto refused = deploy("b", 3, gibibytes(1));
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().id(), ErrorId::GR0512);
  EXPECT_EQ(refused.error().reason(),
            "the quota of default/default/dev does not allow it: memory: 1Gi of 2Gi are used and it asks for 3Gi more");
  EXPECT_EQ(refused.error().hint(),
            "gantry quota shows what is used; ask for less, remove agents, or raise it: gantry quota set memory=4Gi");
  EXPECT_EQ(view(Resource::agents).used, 1u);
  ASSERT_TRUE(deploy("b", 1, gibibytes(1)).has_value()) << "exactly the limit is allowed";
  auto both = deploy("c", 1, mebibytes(4));
  ASSERT_FALSE(both.has_value());
  EXPECT_TRUE(both.error().reason().contains("agents: 2 of 2 are used and it asks for 1 more; memory: "))
      << both.error().reason();
}

TEST_F(QuotaTest, HoldsForScaleAndForAChangedSpec) {
  configured_[at(Resource::memory)] = uint64_t{2} << 30;
  ASSERT_TRUE(deploy("a", 1, gibibytes(1)).has_value());
  ASSERT_TRUE(scale("a", 2).has_value());
  EXPECT_EQ(scale("a", 3).error().id(), ErrorId::GR0512);
  EXPECT_EQ(deploy("a", 2, gibibytes(2)).error().id(), ErrorId::GR0512);
  ASSERT_TRUE(deploy("a", 1, gibibytes(2)).has_value()) << "the same memory in another shape";
  EXPECT_EQ(view(Resource::memory).used, uint64_t{2} << 30);
}

TEST_F(QuotaTest, ALoweredLimitRefusesOnlyWhatAsksForMore) {
  ASSERT_TRUE(deploy("a", 4, gibibytes(1)).has_value());
  change({{.resource = Resource::memory, .limit = uint64_t{1} << 30}});
  EXPECT_EQ(scale("a", 5).error().id(), ErrorId::GR0512);
  EXPECT_TRUE(scale("a", 3).has_value());
  EXPECT_TRUE(deploy("a", 3, mebibytes(512)).has_value());
  EXPECT_EQ(view(Resource::memory).used, uint64_t{3} << 29);
}

TEST_F(QuotaTest, ACallWinsOverTheConfigurationUntilItGivesItBack) {
  configured_[at(Resource::instances)] = 5;
  EXPECT_EQ(view(Resource::instances).origin, LimitOrigin::config);
  EXPECT_EQ(view(Resource::instances).limit, 5u);
  change({{.resource = Resource::instances, .limit = 7}});
  EXPECT_EQ(view(Resource::instances).limit, 7u);
  EXPECT_EQ(view(Resource::instances).origin, LimitOrigin::call);
  EXPECT_EQ(view(Resource::instances).set_at, clock_.now());
  change({{.resource = Resource::instances, .limit = std::nullopt}});
  EXPECT_EQ(view(Resource::instances).limit, std::nullopt);
  EXPECT_EQ(view(Resource::instances).origin, LimitOrigin::call);
  change({{.resource = Resource::instances, .to = QuotaChange::To::config}});
  EXPECT_EQ(view(Resource::instances).limit, 5u);
  EXPECT_EQ(view(Resource::instances).origin, LimitOrigin::config);
}

TEST_F(QuotaTest, AgentsOfAnEarlierVersionAreCountedAtTheStart) {
  ASSERT_TRUE(deploy("a", 2, gibibytes(1)).has_value());
  const auto in_scope = [&](auto work) { return database_->write_blocking(scope_, work).value(); };
  in_scope([](store::Session& session) {
    return session.execute("UPDATE agents SET memory = NULL, cpu = NULL, storage = NULL WHERE scope = :scope");
  });
  EXPECT_TRUE(in_scope([](store::Session& session) { return has_uncounted_agents(session); }));
  EXPECT_EQ(view(Resource::memory).used, 0u);
  const auto counted = database_->write_blocking(scope_, [](store::Session& session) -> Result<> {
    GANTRY_TRY(const std::vector<AgentRecord> all, list_agents(session));
    return count_agents(session, all);
  });
  ASSERT_TRUE(counted.has_value());
  EXPECT_FALSE(in_scope([](store::Session& session) { return has_uncounted_agents(session); }));
  EXPECT_EQ(view(Resource::memory).used, uint64_t{2} << 30);
}

}  // namespace
}  // namespace gantry::agents
