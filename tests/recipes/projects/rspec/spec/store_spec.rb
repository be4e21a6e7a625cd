raise "no such file" if ENV["UNLOADABLE"]

RSpec.describe "Store" do
  before(:context) { raise "no database" if ENV["NO_SETUP"] }

  it "reads" do
    exit(1) if ENV["EXITS"]
    Process.kill("KILL", Process.pid) if ENV["DIES"]
  end

  it("writes") {}
end
