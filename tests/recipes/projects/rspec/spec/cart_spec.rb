require "timeout"

RSpec.describe "Cart" do
  it("adds") { expect(1 + 1).to eq 2 }

  # Fails as often as FAILURES says, counted in a file.
  it "pays" do
    counter = ENV.fetch("COUNTER")
    seen = File.exist?(counter) ? File.read(counter).to_i : 0
    File.write(counter, (seen + 1).to_s)
    raise "no answer of #{Object.new.inspect}" if seen < ENV.fetch("FAILURES", "0").to_i
  end

  it("ships") { expect(ENV["BROKEN"] ? 4 : 3).to eq 3 }

  it("waits") { Timeout.timeout(0.3) { sleep 5 } if ENV["SLOW"] }
end
