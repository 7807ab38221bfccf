# Random queries: the corpus of cases that failed once, and a short run of the generator.
#
# DERIVE_SEED and DERIVE_SECONDS (30) change the generator's run, DERIVE_SHRINK the seconds for making a case small;
# "make fuzz" makes longer ones.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::Bin/../../fuzz/lib";
use Derive::Node;
use Fuzz::Corpus;
use Fuzz::Run;
use Fuzz::Shrink;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $node = derive_node('fuzz', "pg_derive.audit_rate = 1000\n");
my $seed = $ENV{DERIVE_SEED} // 1;
my $end;
my $run = Fuzz::Run->new(dsn => 'dbi:Pg:' . ($node->connstr('postgres') =~ s/ /;/gr =~ s/'//gr), seed => $seed,
	user => getpwuid($<) // '', stop => sub { time > $end }, say => sub { diag(@_) });

for my $file (corpus_files("$FindBin::Bin/../../fuzz/corpus"))
{
	my ($kind, $note) = replay($run, $file);
	my $name = $file =~ s/.*\///r;

	ok($kind eq '' || $kind eq 'refused', $kind eq 'refused' ? "$name: refused: $note" : $name) or diag("$kind: $note");
}

$end = time + ($ENV{DERIVE_SECONDS} // 30);
for (my $batch = 1; time < $end && !@{ $run->{faults} }; $batch++)
{
	$run->batch($batch);
}
for my $fault (@{ $run->{faults} })
{
	$fault->{what} = shrink($run, $fault, $ENV{DERIVE_SHRINK} // 30);
	diag(case_text($fault));
}
note($run->summary);
is(scalar @{ $run->{faults} }, 0, "no difference (seed $seed)");
cmp_ok($run->{count}{accepted} // 0, '>', 20, 'views were made');
cmp_ok($run->{count}{comparisons} // 0, '>', 400, 'and compared');
is($run->{count}{'views given up: nondeterministic'} // 0, 0, 'all queries were deterministic');
unlike(slurp_file($node->logfile), qr/differs from its query/, 'no audit found a difference');
is($run->{count}{'verify failed'} // 0, 0, 'derive.verify could be asked');

done_testing();
