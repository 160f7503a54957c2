// The signs of a collapsed run.
#include "src/gan/collapse.h"

#include <gtest/gtest.h>

namespace ganforge {
namespace {

Samples samples(std::vector<float> values) {
  return {Shape{static_cast<std::int64_t>(values.size()) / 2, 2}, std::move(values)};
}

TEST(Collapse, DiversityIsTheMeanVariance) {
  EXPECT_DOUBLE_EQ(diversity(samples({0, 1, 2, 1, 4, 1})), (8.0 / 3 + 0) / 2);
  HostDataset data{"data", {2}, 2, std::vector<std::uint8_t>{0, 255, 255, 255}, {}, {}};
  EXPECT_DOUBLE_EQ(diversity(data, -1, 1), 0.5);
}

TEST(Collapse, ADiscriminatorThatIsAlwaysRightIsReportedOnce) {
  CollapseWatch watch(Objective::non_saturating, 1);
  const auto stats = [](std::int64_t step, float accuracy, float d_fake) {
    Stats s;
    s.step = step, s.d_accuracy = accuracy, s.d_fake = d_fake;
    return s;
  };
  EXPECT_FALSE(watch.look(stats(100, 1, 0.001f)));
  EXPECT_FALSE(watch.look(stats(600, 0.9f, 0.001f)));  // begins again
  for (std::int64_t step = 700; step < 1700; step += 100) EXPECT_FALSE(watch.look(stats(step, 1, 0.001f))) << step;
  const auto event = watch.look(stats(1700, 1, 0.001f));
  ASSERT_TRUE(event);
  EXPECT_EQ(event->name, "discriminator_saturated");
  EXPECT_NE(event->reason.find("since step 700"), std::string::npos) << event->reason;
  EXPECT_FALSE(watch.look(stats(1800, 1, 0.001f)));

  CollapseWatch critic(Objective::wasserstein, 1);  // its logits have no scale
  for (std::int64_t step = 100; step < 3000; step += 100) EXPECT_FALSE(critic.look(stats(step, 1, -50)));
}

TEST(Collapse, SamplesThatAreAlikeAreReported) {
  CollapseWatch watch(Objective::hinge, 1);
  const Samples diverse = samples({-1, -1, 1, 1}), half = samples({-0.6f, -0.6f, 0.6f, 0.6f}),
                few = samples({-0.4f, -0.4f, 0.4f, 0.4f}), same = samples({0.5f, 0.5f, 0.5f, 0.6f});
  EXPECT_FALSE(watch.look(0, same));  // before training
  EXPECT_FALSE(watch.look(50, same));
  EXPECT_FALSE(watch.look(100, half));
  EXPECT_FALSE(watch.look(200, diverse));
  const auto fallen = watch.look(300, few);
  ASSERT_TRUE(fallen);
  EXPECT_EQ(fallen->name, "low_diversity");
  EXPECT_NE(fallen->reason.find("16 % as much as the data, after 100 %"), std::string::npos) << fallen->reason;
  EXPECT_FALSE(watch.look(400, same));  // said already
  EXPECT_FALSE(watch.look(500, diverse));
  EXPECT_TRUE(watch.look(600, same));

  CollapseWatch never(Objective::hinge, 1);
  EXPECT_FALSE(never.look(999, same));
  EXPECT_TRUE(never.look(1000, same));
}

}  // namespace
}  // namespace ganforge
