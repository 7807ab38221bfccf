# fuzz.pl: random queries as derived views, on the server that libpq's environment names.
#
#   perl -I test/fuzz/lib test/fuzz/fuzz.pl --seconds 60 --seed 7 --out /tmp/cases
#
# README.md beside it says the rest; "make fuzz" makes a server and calls it.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::Bin/lib";
use Fuzz::Corpus;
use Fuzz::Run;
use Fuzz::Shrink;
use Getopt::Long;
use Time::HiRes qw(time);

my %opt = (seconds => 60, seed => 1 + int rand 1_000_000, views => 16, rounds => 20, batch => undef,
	out => undef, shrink => 60, faults => 10, dsn => 'dbi:Pg:', corpus => undef);
GetOptions(\%opt, 'seconds=f', 'seed=i', 'views=i', 'rounds=i', 'batch=i', 'out=s', 'shrink=i', 'faults=i', 'dsn=s',
	'corpus=s', 'generator')
  or die "usage: fuzz.pl [--seconds N] [--seed N] [--batch N] [--views N] [--rounds N] [--shrink SECONDS]"
  . " [--faults MAX] [--out DIR] [--corpus DIR] [--generator]\n";

$| = 1;
my $end = time + $opt{seconds};
my $run = Fuzz::Run->new(dsn => $opt{dsn}, seed => $opt{seed}, views => $opt{views}, rounds => $opt{rounds},
	stop => sub { time > $end }, say => sub { print @_ });
my $wrong = 0;

if ($opt{corpus})
{
	for my $file (corpus_files($opt{corpus}))
	{
		my ($kind, $note) = replay($run, $file);
		printf "%-8s %s%s\n", $kind eq '' ? 'ok' : $kind, $file =~ s/.*\///r, $note ne '' ? ": $note" : '';
		$wrong++ if $kind ne '' && $kind ne 'refused';
	}
	exit($wrong ? 1 : 0);
}

print "seed $opt{seed}\n";
my $started = time;
my %seen;
for (my $batch = $opt{batch} // 1;; $batch++)
{
	if ($opt{generator}) { $run->check_generator($batch) }
	else { $run->batch($batch) }
	for my $fault (splice @{ $run->{faults} })
	{
		$wrong++;
		next if $wrong > $opt{faults};
		$fault->{what} = shrink($run, $fault, $opt{shrink});
		print case_text($fault);
		write_case($fault, $opt{out}) if $opt{out};
	}
	last if defined $opt{batch} || time > $end || $wrong >= $opt{faults};
}
my $spent = time - $started;
$run->{faults} = [ (1) x $wrong ];
print $run->summary;
printf "seed %d, %.0f s, %.1f views a second\n", $opt{seed}, $spent, ($run->{count}{accepted} // 0) / ($spent || 1);
exit($wrong ? 1 : 0);
