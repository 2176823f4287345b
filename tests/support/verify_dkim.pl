# Mail::DKIM's word on messages: perl verify_dkim.pl PORT FILE...
# Keys are asked for at the name server on that port of 127.0.0.1. One line per signature:
# the file, its domain, its selector, the result with its detail.
use strict;
use warnings;
use Mail::DKIM::DNS;
use Mail::DKIM::Verifier;
use Net::DNS::Resolver;

my $port = shift @ARGV;
Mail::DKIM::DNS::resolver(
    Net::DNS::Resolver->new(
        nameservers => ['127.0.0.1'], port => $port, recurse => 1,
        udp_timeout => 5, tcp_timeout => 5, retry => 5, config_file => '/dev/null',
    )
);
for my $file (@ARGV) {
    open my $handle, '<:raw', $file or die "$file: $!";
    my $verifier = Mail::DKIM::Verifier->new;
    local $/;
    $verifier->PRINT(scalar <$handle>);
    $verifier->CLOSE;
    for my $signature ($verifier->signatures) {
        my @said = ($file, $signature->domain, $signature->selector, $signature->result_detail);
        print join("\t", map { s/\s+/ /gr } map { $_ // '' } @said), "\n";
    }
}
